"""README.txt beside a compiled function: what it leaves out, and the commands that deploy it."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.edge_function.sample_event import SampleEvent

_COMMANDS = """\
Create the store and the function
---------------------------------
With AWS CLI 2, in this folder. BUCKET is a bucket of yours that store.json is imported from.

  aws s3 cp store.json s3://BUCKET/nearbucket-store.json
  aws cloudfront create-key-value-store --name nearbucket \\
    --import-source SourceType=S3,SourceARN=arn:aws:s3:::BUCKET/nearbucket-store.json
  STORE=$(aws cloudfront describe-key-value-store --name nearbucket \\
    --query KeyValueStore.ARN --output text)
  aws cloudfront describe-key-value-store --name nearbucket --query KeyValueStore.Status

When the status is READY:

  CONFIG="Comment=nearbucket,Runtime=cloudfront-js-2.0"
  CONFIG="$CONFIG,KeyValueStoreAssociations={Quantity=1,Items=[{KeyValueStoreARN=$STORE}]}"
  aws cloudfront create-function --name nearbucket --function-config "$CONFIG" \\
    --function-code fileb://function.js

After a change of the configuration, compile again, and instead of create-function:

  ETAG=$(aws cloudfront describe-function --name nearbucket --query ETag --output text)
  aws cloudfront update-function --name nearbucket --if-match "$ETAG" \\
    --function-config "$CONFIG" --function-code fileb://function.js

Test and publish it
-------------------
  ETAG=$(aws cloudfront describe-function --name nearbucket --query ETag --output text)
TEST

  aws cloudfront publish-function --name nearbucket --if-match "$ETAG"

Associate it with behaviours
----------------------------
As viewer-request function, with every cache behaviour whose paths may be redirected; the default
behaviour is fine. The function runs before the cache, also for what is cached, and CloudFront
caches none of its answers. So one distribution with the origin bucket and a cache is all: neither a
behaviour without caching for nearbucket, nor a second distribution for bypass.to is needed.

  aws cloudfront get-distribution-config --id ID --query DistributionConfig > distribution.json
  aws cloudfront get-distribution-config --id ID --query ETag --output text

In distribution.json, in the behaviour, with the FunctionARN that publish-function has shown:

  "FunctionAssociations": {"Quantity": 1, "Items": [
    {"FunctionARN": "arn:aws:cloudfront::111122223333:function/nearbucket",
     "EventType": "viewer-request"}]}

  aws cloudfront update-distribution --id ID --if-match THE-ETAG \\
    --distribution-config file://distribution.json

To switch it off, do the same with "Quantity": 0 and without Items, or compile and publish a
configuration with mode: off.

Update the list of prefixes
---------------------------
AWS changes its list several times a week. Fetch it, compile as before but with the store of the
last run, and send the differences; each file is one request of at most 50 keys, and their order
matters:

  nearbucket ranges update
  nearbucket compile cloudfront --config FILE --without RULE --previous store.json --output .
  for file in update-*.json; do
    [ -e "$file" ] || break  # nothing has changed
    etag=$(aws cloudfront-keyvaluestore describe-key-value-store --kvs-arn "$STORE" \\
      --query ETag --output text)
    aws cloudfront-keyvaluestore update-keys --kvs-arn "$STORE" --if-match "$etag" \\
      --cli-input-json "file://$file" || break
  done

If that breaks off, send the remaining files before you compile again.
"""

_TEST = """\
  aws cloudfront test-function --name nearbucket --if-match "$ETAG" --stage DEVELOPMENT \\
    --event-object fileb://event.json \\
    --query 'TestResult.[FunctionOutput,FunctionErrorMessage,ComputeUtilization]'

The output has this Location:
"""

_NO_TEST = """
There is no event.json to test it with: no request was found that this configuration redirects. If
its mode, percent and targets redirect any, write an event with such a path and address.
"""


def readme_text(left_out: Sequence[str], sample: SampleEvent | None, list_date: str) -> str:
    """The text of README.txt.

    Args:
        left_out: What the function does not do, a sentence each.
        sample: The event in event.json, if there is one.
        list_date: Date of the list of prefixes.
    """
    title = f"A CloudFront Function by nearbucket, with AWS's list of prefixes of {list_date}"
    kept = "\n".join(
        fill(text, 100, initial_indent="- ", subsequent_indent="  ") for text in left_out
    )
    heading = "What the proxy does and this function does not"
    underlined = f"{title}\n{'=' * len(title)}\n\n{heading}\n{'-' * len(heading)}\n{kept}\n\n"
    test = f"{_TEST}  {sample.location}\n" if sample else _NO_TEST
    return underlined + _COMMANDS.replace("TEST\n", test)
