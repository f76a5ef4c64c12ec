"""The SQL of ``count_queries.py``.

``located`` has the facts with region and network of the client, and with a number for the parts of
the context that an answer needs (``coarse``). It takes the place of ``facts``.
"""

from __future__ import annotations

PREPARED = (
    # any_value: the same id stands for the same thing in every file
    """CREATE TABLE context AS SELECT context, any_value(amazon) AS amazon,
      dense_rank() OVER (ORDER BY any_value(day), geography, any_value(method), any_value(status),
        any_value(flags))::INTEGER AS coarse,
      any_value(day) AS day, geography, any_value(method) AS method, any_value(status) AS status,
      any_value(flags) AS flags
    FROM contexts JOIN edges USING (edge) GROUP BY context, geography""",
    """CREATE TABLE coarse AS SELECT coarse, any_value(day) AS day,
      any_value(geography) AS geography, any_value(method) AS method, any_value(status) AS status,
      any_value(flags) AS flags FROM context GROUP BY coarse""",
    """CREATE TABLE object AS SELECT object, host, key, size,
      (row_number() OVER () - 1)::INTEGER AS number FROM names LEFT JOIN (
      SELECT object, coalesce(max(length), max(range_end)) AS size FROM sizes GROUP BY object)
    USING (object)""",
    """CREATE TABLE located AS SELECT object, client, coarse,
      coalesce(region, 2::SMALLINT) AS region, network, requests, bytes, downloads, aborted
    FROM facts JOIN (SELECT context, amazon, coarse FROM context) USING (context)
    LEFT JOIN regions USING (client, amazon)""",
    "DROP TABLE facts",
    """CREATE TABLE by_object AS SELECT object, region, sum(requests)::BIGINT AS requests,
      sum(bytes)::BIGINT AS bytes, sum(downloads)::BIGINT AS downloads,
      sum(aborted)::BIGINT AS aborted, min(day) FILTER (status IN (200, 206, 304)) AS first_day,
      coalesce(sum(bytes) FILTER (status IN (200, 206)), 0)::BIGINT AS delivered
    FROM located JOIN coarse USING (coarse) GROUP BY object, region""",
    """CREATE TABLE by_context AS SELECT coarse, region, sum(requests)::BIGINT AS requests,
      sum(bytes)::BIGINT AS bytes FROM located GROUP BY coarse, region""",
    """CREATE TABLE by_network AS SELECT network, region, object,
      sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes
    FROM located WHERE network IS NOT NULL GROUP BY network, region, object""",
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
  (sum(by_object.downloads) + coalesce(any_value(of_region.downloads), 0))::BIGINT,
  coalesce(any_value(addresses), 0)
FROM by_object LEFT JOIN of_region USING (region) LEFT JOIN people USING (region)
GROUP BY region ORDER BY size DESC, region
"""
TOP_FILES = """
SELECT object, host, key, s.bytes, s.requests, s.aws, size FROM (
  SELECT object, sum(bytes)::BIGINT AS bytes, sum(requests)::BIGINT AS requests,
    coalesce(sum(bytes) FILTER (region >= ?), 0)::BIGINT AS aws
  FROM by_object GROUP BY object) s
JOIN object USING (object) ORDER BY s.bytes DESC, host, key LIMIT ?
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
  sum(s.bytes)::BIGINT AS size, sum(s.aws)::BIGINT, sum(s.requests)::BIGINT, count(*)
FROM (
  SELECT object, sum(bytes) AS bytes, sum(requests) AS requests,
    coalesce(sum(bytes) FILTER (region >= ?), 0) AS aws
  FROM by_object GROUP BY object) s
JOIN object USING (object) GROUP BY folder, suffix ORDER BY size DESC, folder, suffix LIMIT ?
"""
DAYS = """
SELECT day, region, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM by_context
JOIN coarse USING (coarse) GROUP BY day, region ORDER BY day, region
"""
SIZES = """
SELECT CASE WHEN size IS NOT NULL THEN 1::BIGINT << greatest(length(bin(size)) - 1, 0) END AS class,
  sum(requests)::BIGINT, sum(bytes)::BIGINT, count(*) FROM (
  SELECT object, sum(requests) AS requests, sum(bytes) AS bytes FROM by_object GROUP BY object)
JOIN object USING (object) GROUP BY class ORDER BY class NULLS LAST
"""
HOSTS = """
SELECT host, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size FROM by_object
JOIN object USING (object) GROUP BY host ORDER BY size DESC, host
"""
RESULTS = """
SELECT name, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size FROM results
GROUP BY name ORDER BY size DESC, name
"""
TOTALS = """
SELECT coalesce(sum(requests), 0)::BIGINT, coalesce(sum(bytes), 0)::BIGINT,
  coalesce(sum(aborted), 0)::BIGINT FROM by_object
"""
BY_GEOGRAPHY = """
SELECT geography, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM by_context
JOIN coarse USING (coarse) GROUP BY geography ORDER BY geography
"""
FACTS = """
SELECT DATE '1970-01-01' + day AS day, number AS object, region_names.name AS region, geography,
  method, status, flags, requests, bytes
FROM (
  SELECT coarse, object, region, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes
  FROM located SEMI JOIN (SELECT coarse FROM coarse WHERE status IN (200, 206, 304))
  USING (coarse) WHERE region >= $outside GROUP BY coarse, object, region)
JOIN coarse USING (coarse) JOIN object USING (object) JOIN region_names USING (region)
UNION ALL
SELECT DATE '1970-01-01' + first_day, number, region_names.name, 'unknown', 'GET', 200, 0,
  requests, delivered
FROM by_object JOIN object USING (object) JOIN region_names USING (region)
WHERE region < $outside AND first_day IS NOT NULL
UNION ALL
SELECT DISTINCT DATE '1970-01-01' + day, NULL, 'UNKNOWN', 'unknown', '-', 0, 0, 0, 0 FROM coarse
"""
OBJECTS = "SELECT number AS object, host, key, size FROM object ORDER BY number"
LARGE = """
CREATE TABLE large AS SELECT network FROM by_network GROUP BY network
HAVING sum(bytes) * 1000 >= (SELECT sum(bytes) FROM by_network) AND sum(bytes) > 0
"""
"""Networks with a thousandth of the bytes inside AWS: smaller ones are not half of anything that
matters, and there are never more than a thousand."""
NETWORK_TABLE = """
SELECT number AS object, region_names.name AS region, text AS network, bytes
FROM by_network JOIN network_names USING (network) JOIN object USING (object)
JOIN region_names USING (region)
"""
