"""The SQL of ``count_queries.py``.

``located`` has the facts with region and network of the client, and with a number for the parts of
the context that an answer needs (``coarse``). It takes the place of ``facts``. ``class`` is 2 for a
status that delivers an object (200, 206), 1 for 304, else 0. Regions 0 to 2 are none of AWS
(``client_regions.OUTSIDE``). It is as large as the logs, so all answers are asked of four smaller
sums of it: by object and region, by context and region, by network, and by object.
"""

from __future__ import annotations

PREPARED = (
    """CREATE TYPE region_name AS ENUM (SELECT name FROM region_names)""",
    "CREATE TABLE named AS SELECT region, name::region_name AS name FROM region_names",
    """CREATE TYPE geography_name AS ENUM (
      SELECT geography FROM edges UNION SELECT 'unknown' ORDER BY geography)""",
    """CREATE TYPE method_name AS ENUM (
      SELECT method FROM contexts WHERE method IS NOT NULL
      UNION SELECT 'GET' UNION SELECT '-' ORDER BY method)""",
    # any_value: the same id stands for the same thing in every file
    """CREATE TABLE context AS SELECT *, dense_rank() OVER (
        ORDER BY day, geography, method, status, flags)::INTEGER AS coarse,
      CASE WHEN status IN (200, 206) THEN 2 WHEN status = 304 THEN 1 ELSE 0 END::TINYINT AS class
    FROM (SELECT context, any_value(amazon) AS amazon, any_value(day) AS day,
        geography::geography_name AS geography, any_value(method)::method_name AS method,
        any_value(status) AS status, any_value(flags) AS flags
      FROM contexts JOIN edges USING (edge) GROUP BY context, geography)""",
    """CREATE TABLE coarse AS SELECT DISTINCT coarse, day, geography, method, status, flags
    FROM context""",
    """CREATE TABLE object AS SELECT object, host, key, size,
      (row_number() OVER () - 1)::INTEGER AS number FROM names LEFT JOIN (
      SELECT object, coalesce(max(length), max(range_end)) AS size FROM sizes GROUP BY object)
    USING (object)""",
    """CREATE TABLE located AS SELECT object, client, coarse, class, day,
      coalesce(region, 2::SMALLINT) AS region, network, requests, bytes, downloads, aborted
    FROM facts JOIN (SELECT context, amazon, coarse, class, day FROM context) USING (context)
    LEFT JOIN regions USING (client, amazon)""",
    "DROP TABLE facts",
    """CREATE TABLE by_class AS SELECT object, region, class, sum(requests)::BIGINT AS requests,
      sum(bytes)::BIGINT AS bytes, min(day) AS first_day
    FROM located GROUP BY object, region, class""",
    """CREATE TABLE by_context AS SELECT coarse, region, sum(requests)::BIGINT AS requests,
      sum(bytes)::BIGINT AS bytes, sum(downloads)::BIGINT AS downloads,
      sum(aborted)::BIGINT AS aborted FROM located GROUP BY coarse, region""",
    """CREATE TABLE by_network AS SELECT network, region, object,
      sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes
    FROM located WHERE network IS NOT NULL GROUP BY network, region, object""",
    """CREATE TABLE by_object AS FROM (
      SELECT object, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes,
        coalesce(sum(bytes) FILTER (region > 2), 0)::BIGINT AS aws
      FROM by_class GROUP BY object)
    JOIN object USING (object)""",
)
"""Statements before all queries."""
REGIONS = """
WITH joined AS (
  SELECT client, CASE WHEN first - max(last) OVER (
    PARTITION BY client, agent, object ORDER BY first
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) < ? THEN 0 ELSE 1 END AS downloads
  FROM sessions),
of_client AS (SELECT client, sum(downloads) AS downloads FROM joined GROUP BY client),
of_region AS (
  SELECT coalesce(region, 2) AS region, sum(downloads) AS downloads FROM of_client
  LEFT JOIN (SELECT client, max(region) AS region FROM regions GROUP BY client) USING (client)
  GROUP BY ALL),
people AS (SELECT region, count(DISTINCT client) AS addresses FROM regions GROUP BY region)
SELECT region, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size,
  (sum(by_context.downloads) + coalesce(any_value(of_region.downloads), 0))::BIGINT,
  coalesce(any_value(addresses), 0)
FROM by_context LEFT JOIN of_region USING (region) LEFT JOIN people USING (region)
GROUP BY region ORDER BY size DESC, region
"""
TOP_FILES = """
SELECT object, host, key, bytes, requests, aws, size FROM by_object
ORDER BY bytes DESC, host, key LIMIT ?
"""
ADDRESSES = """
SELECT object, count(DISTINCT client) FROM located SEMI JOIN (SELECT unnest(?) AS object)
USING (object) WHERE client <> 0 GROUP BY object
"""
TOP_AGENTS = """
SELECT any_value(name) AS name, sum(bytes)::BIGINT AS size, sum(requests)::BIGINT,
  sum(redirected)::BIGINT, sum(came_back)::BIGINT
FROM agents GROUP BY agent ORDER BY size DESC, name LIMIT ?
"""
TOP_NETWORKS = """
SELECT network, region, sum(bytes)::BIGINT AS size, sum(requests)::BIGINT
FROM by_network GROUP BY network, region ORDER BY size DESC, network, region LIMIT ?
"""
NETWORK_ADDRESSES = """
SELECT network, region, count(DISTINCT client) FROM regions WHERE list_contains(?, network)
GROUP BY network, region
"""
TOP_KEYS = """
SELECT network, region, arg_max(key, (by_network.bytes, key))
FROM by_network JOIN object USING (object)
WHERE list_contains(?, network) GROUP BY network, region
"""
FOLDERS = r"""
SELECT CASE WHEN contains(key, '/') THEN split_part(key, '/', 1) ELSE '' END AS folder,
  regexp_extract(key, '(?:\.(?:[A-Za-z][A-Za-z0-9]{0,7}|7z)){1,3}$') AS suffix,
  sum(bytes)::BIGINT AS size, sum(aws)::BIGINT, sum(requests)::BIGINT, count(*)
FROM by_object GROUP BY folder, suffix ORDER BY size DESC, folder, suffix LIMIT ?
"""
DAYS = """
SELECT day, region, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM by_context
JOIN coarse USING (coarse) GROUP BY day, region ORDER BY day, region
"""
SIZES = """
SELECT CASE WHEN size IS NOT NULL THEN 1::BIGINT << greatest(length(bin(size)) - 1, 0) END AS class,
  sum(requests)::BIGINT, sum(bytes)::BIGINT, count(*)
FROM by_object GROUP BY class ORDER BY class NULLS LAST
"""
HOSTS = """
SELECT host, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size FROM by_object
GROUP BY host ORDER BY size DESC, host
"""
RESULTS = """
SELECT name, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size FROM results
GROUP BY name ORDER BY size DESC, name
"""
TOTALS = """
SELECT coalesce(sum(requests), 0)::BIGINT, coalesce(sum(bytes), 0)::BIGINT,
  coalesce(sum(aborted), 0)::BIGINT FROM by_context
"""
BY_GEOGRAPHY = """
SELECT geography, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM by_context
JOIN coarse USING (coarse) GROUP BY geography ORDER BY geography
"""
FACTS = """
SELECT DATE '1970-01-01' + day AS day, number AS object, name AS region, geography, method, status,
  flags, requests, bytes
FROM (
  SELECT coarse, object, region, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes
  FROM located WHERE class > 0 AND region > 2 GROUP BY coarse, object, region)
JOIN coarse USING (coarse) JOIN object USING (object) JOIN named USING (region)
UNION ALL
SELECT DATE '1970-01-01' + first_day, number, name, 'unknown'::geography_name, 'GET'::method_name,
  200::SMALLINT, 0::TINYINT, requests, delivered
FROM (
  SELECT object, region, sum(requests)::BIGINT AS requests,
    min(first_day) FILTER (class > 0) AS first_day,
    coalesce(sum(bytes) FILTER (class = 2), 0)::BIGINT AS delivered
  FROM by_class WHERE region <= 2 GROUP BY object, region HAVING bool_or(class > 0))
JOIN object USING (object) JOIN named USING (region)
UNION ALL
SELECT DISTINCT DATE '1970-01-01' + day, NULL::INTEGER, 'UNKNOWN'::region_name,
  'unknown'::geography_name, '-'::method_name, 0::SMALLINT, 0::TINYINT, 0::BIGINT, 0::BIGINT
FROM coarse
"""
OBJECTS = "SELECT number AS object, host, key, size FROM object ORDER BY number"
LARGE = """
CREATE TABLE large AS SELECT network FROM by_network GROUP BY network
HAVING sum(bytes) * 1000 >= (SELECT sum(bytes) FROM by_network) AND sum(bytes) > 0
"""
"""Networks with a thousandth of the bytes inside AWS: smaller ones are not half of anything that
matters, and there are never more than a thousand."""
NETWORK_TABLE = """
SELECT number AS object, name AS region, text AS network, bytes
FROM {} JOIN network_names USING (network) JOIN object USING (object)
JOIN named USING (region)
"""
REDIRECTABLE = """(
  SELECT network, region, object, by_network.bytes - coalesce(streamed.bytes, 0) AS bytes
  FROM by_network LEFT JOIN (
    SELECT network, region, object, sum(bytes)::BIGINT AS bytes FROM located
    SEMI JOIN (SELECT coarse FROM coarse WHERE flags <> 0) USING (coarse)
    WHERE network IS NOT NULL GROUP BY network, region, object) AS streamed
  USING (network, region, object))"""
"""``by_network`` without requests that no policy redirects, such as those of networks that opt out:
they are no evidence. It doubles the cost of ``NETWORK_TABLE``, a 250th of the cost of a log."""
MANY_STREAMED = """
SELECT coalesce(sum(bytes) FILTER (flags <> 0) * 20 > sum(bytes), false)
FROM by_context JOIN coarse USING (coarse) WHERE region > 2
"""
"""Whether requests that no policy redirects have more than a twentieth of the bytes of AWS regions;
fewer hardly change whether one network has half of a pattern's bytes."""
