"""Every metric: its name, kind, labels and meaning. ``docs/metrics.md`` is made of them."""

from __future__ import annotations

from typing import NamedTuple


class MetricDefinition(NamedTuple):
    """One metric: its name, kind, labels and meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


METRICS = (
    MetricDefinition("nearbucket_redirects_total", "counter", ("site", "region"),
                     "Requests redirected to a target bucket, by the client's region."),
    MetricDefinition("nearbucket_bypasses_total", "counter", ("site", "region", "reason"),
                     "Requests that were not redirected to a target, by reason."),
    MetricDefinition("nearbucket_refusals_total", "counter", ("reason",),
                     "Refused requests, by reason."),
    MetricDefinition("nearbucket_redirected_bytes_total", "counter", ("site", "region"),
                     "Bytes that redirected requests asked for, as far as sizes are known, without "
                     "those of redirects that failed."),
    MetricDefinition("nearbucket_saved_usd_total", "counter", ("site", "region"),
                     "What those bytes take off the CDN's bill, less their transfer and requests "
                     "to S3; at most this if prices.monthly_gb is not set."),
    MetricDefinition("nearbucket_shadow_bytes_total", "counter", ("site", "region"),
                     "Body bytes of requests with the reason shadow: what redirects would keep off "
                     "the CDN."),
    MetricDefinition("nearbucket_shadow_usd_total", "counter", ("site", "region"),
                     "What redirects of the shadow bytes would save, computed like "
                     "nearbucket_saved_usd_total."),
    MetricDefinition("nearbucket_streamed_bytes_total", "counter", ("site", "region"),
                     "Body bytes streamed from the origin to clients."),
    MetricDefinition("nearbucket_host_requests_total", "counter", ("host", "action"),
                     "Requests, by the host that they name."),
    MetricDefinition("nearbucket_responses_total", "counter", ("class",),
                     "Responses, by the class of their status; none: the client left before any."),
    MetricDefinition("nearbucket_request_seconds", "histogram", ("action",),
                     "Time from the head of a request to the end of its response."),
    MetricDefinition("nearbucket_streams_in_progress", "gauge", (),
                     "Objects that are being streamed."),
    MetricDefinition("nearbucket_streams_refused_total", "counter", ("site",),
                     "Requests answered with 503 because of limits.max_streams."),
    MetricDefinition("nearbucket_connections", "gauge", (), "Open client connections."),
    MetricDefinition("nearbucket_connections_refused_total", "counter", (),
                     "Connections over limits.max_connections: answered with 503, or closed before "
                     "their TLS handshake."),
    MetricDefinition("nearbucket_client_limit_total", "counter", (),
                     "Requests over limits.per_client, answered with 429."),
    MetricDefinition("nearbucket_file_limit_seconds_total", "counter", (),
                     "Seconds in which a worker had no free file descriptor, so that new "
                     "connections were closed without an answer."),
    MetricDefinition("nearbucket_stream_ends_total", "counter", ("how",),
                     "Streams that ended, by how they ended."),
    MetricDefinition("nearbucket_origin_requests_total", "counter", ("site", "status"),
                     "Requests to the origin by status; 0: no response or no signature."),
    MetricDefinition("nearbucket_origin_resumes_total", "counter", ("site",),
                     "Requests for the rest of a body that the origin did not send to the end."),
    MetricDefinition("nearbucket_origin_failovers_total", "counter", ("site",),
                     "Requests for objects, or the rest of one, that a failover bucket answered."),
    MetricDefinition("nearbucket_target_up", "gauge", ("site", "region"),
                     "Is 0 while the target fails its checks or clients cannot read it, else 1, "
                     "whatever its mode is; the lowest value of all workers."),
    MetricDefinition("nearbucket_checks_total", "counter", ("result",),
                     "HEAD requests for objects in origin and target buckets, by result."),
    MetricDefinition("nearbucket_verification_usd_total", "counter", ("request",),
                     "What the HEAD and LIST requests cost that verify copies, in US dollars."),
    MetricDefinition("nearbucket_handovers_total", "counter", ("cause",),
                     "Requests that the aiohttp lane answers, by cause."),
    MetricDefinition("nearbucket_log_lines_dropped_total", "counter", ("log",),
                     "Lines of a log that were dropped because their reader was slow or gone."),
    MetricDefinition("nearbucket_workers", "gauge", (), "Worker processes that answer."),
    MetricDefinition("nearbucket_worker_restarts_total", "counter", ("cause",),
                     "Worker processes that ended and were replaced, by what ended them."),
    MetricDefinition("nearbucket_ranges_age_seconds", "gauge", (),
                     "Time since the source last confirmed the list of prefixes; of the built-in "
                     "list, since AWS published it."),
    MetricDefinition("nearbucket_ranges_prefixes", "gauge", ("family",),
                     "Prefixes in the lookup table."),
    MetricDefinition("nearbucket_ranges_skipped_rows", "gauge", (),
                     "Rows of the list of prefixes that were skipped as invalid."),
    MetricDefinition("nearbucket_ranges_refreshes_total", "counter", ("result",),
                     "Attempts to refresh the list of prefixes, by result."),
    MetricDefinition("nearbucket_config_reloads_total", "counter", ("result",),
                     "Reloads of the configuration, by result."),
    MetricDefinition("nearbucket_config_info", "gauge", ("hash",),
                     "Is always 1; the hash identifies the configuration in use."),
    MetricDefinition("nearbucket_certificate_valid_seconds", "gauge", (),
                     "Time until the certificate of listen.tls in use expires; negative: since."),
    MetricDefinition("nearbucket_certificate_reloads_total", "counter", ("result",),
                     "Changes of the files of listen.tls, by result."),
)  # fmt: skip

GAUGES = frozenset(metric.name for metric in METRICS if metric.kind == "gauge")
