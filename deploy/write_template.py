# noqa: INP001  # a script
"""Writes the parts of the CloudFormation template that come from ``terraform/values.yaml``.

Usage: python deploy/write_template.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent
VALUES = DEPLOY / "terraform" / "values.yaml"
TEMPLATE = DEPLOY / "cloudformation" / "nearbucket.yaml"
BEGIN, END = "# generated from ../terraform/values.yaml: {}", "# end of what is generated"

_OF = {
    "tasks": ("AWS/ApplicationELB", {
        "LoadBalancer": "${LoadBalancer.LoadBalancerFullName}",
        "TargetGroup": "${TargetGroup.TargetGroupFullName}",
    }),
    "balancer": ("AWS/ApplicationELB", {"LoadBalancer": "${LoadBalancer.LoadBalancerFullName}"}),
    "service": ("AWS/ECS", {"ClusterName": "${Cluster}", "ServiceName": "${Service.Name}"}),
    "log": ("nearbucket/${AWS::StackName}", {}),
}  # fmt: skip
"""Namespace and dimensions of a metric, by what it is of."""


def main() -> int:
    """Write the template, or with ``--check`` say whether it is current."""
    before = TEMPLATE.read_text("utf-8")
    after = filled(before, yaml.safe_load(VALUES.read_text("utf-8")))
    if "--check" not in sys.argv[1:]:
        TEMPLATE.write_text(after, "utf-8")
    elif after != before:
        sys.stderr.write(f"{TEMPLATE} is not current: run python deploy/write_template.py\n")
        return 1
    return 0


def filled(template: str, table: dict[str, Any]) -> str:
    """The template with its generated parts made anew."""
    for name, text in (
        ("mappings", _mappings(table)),
        ("environment", _environment(table)),
        ("metrics, alarms, dashboard", _metrics(table) + _alarms(table) + _dashboard(table)),
    ):
        begin = re.escape(BEGIN.format(name))
        pattern = rf"^ *{begin}\n(.*?)^ *{re.escape(END)}$"
        part = re.search(pattern, template, re.DOTALL | re.MULTILINE)
        if part is None:
            raise SystemExit(f"{TEMPLATE} has no place for: {name}")
        template = template[: part.start(1)] + text + template[part.end(1) :]
    return template


def _name(words: str) -> str:
    """A name as CloudFormation has them: stop_timeout is StopTimeout."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[_-]", words))


def _mappings(table: dict[str, Any]) -> str:
    lines = ["Mappings:", "  Size:"]
    for group in ("sizes", "values"):
        if group == "values":
            lines.append("  Value:")
        for name, values in table[group].items():
            lines.append(f"    {name if group == 'sizes' else _name(name)}:")
            lines += [
                f"      {_name(key)}: {json.dumps(str(each))}" for key, each in values.items()
            ]
    return "\n".join(lines) + "\n"


def _environment(table: dict[str, Any]) -> str:
    return "".join(
        f"            - {{ Name: {name}, Value: {json.dumps(value)} }}\n"
        for name, value in table["environment"].items()
    )


def _metrics(table: dict[str, Any]) -> str:
    return "".join(
        f"""\
  Metric{name}:
    Type: AWS::Logs::MetricFilter
    Properties:
      LogGroupName: !Ref Logs
      FilterPattern: '{metric["pattern"]}'
      MetricTransformations:
        - MetricName: {name}
          MetricNamespace: !Sub nearbucket/${{AWS::StackName}}
          MetricValue: {json.dumps(metric["value"])}

"""
        for name, metric in table["metrics"].items()
    )


def _alarms(table: dict[str, Any]) -> str:
    return "".join(_alarm(name, alarm) for name, alarm in table["alarms"].items())


def _alarm(name: str, alarm: dict[str, Any]) -> str:
    namespace, dimensions = _OF[alarm["of"]]
    of = "".join(
        f"        - {{ Name: {key}, Value: !Sub '{each}' }}\n" for key, each in dimensions.items()
    )
    of_most = alarm["threshold"] == "most"
    threshold = "!Ref MostTasks" if of_most else alarm["threshold"]
    return f"""\
  Alarm{_name(name)}:
    Type: AWS::CloudWatch::Alarm
{"    Condition: AddsTasks" + chr(10) if of_most else ""}\
    Properties:
      AlarmName: !Sub ${{AWS::StackName}}-{name}
      AlarmDescription: {json.dumps(alarm["text"])}
      Namespace: {"!Sub " if "$" in namespace else ""}{namespace}
      MetricName: {alarm["metric"]}
{"      Dimensions:" + chr(10) + of if of else ""}\
      Statistic: {alarm["statistic"]}
      ComparisonOperator: {alarm["compare"]}
      Threshold: {threshold}
      Period: {60 * alarm["minutes"]}
      EvaluationPeriods: {alarm["periods"]}
      TreatMissingData: {alarm["missing"]}
      AlarmActions: !If [HasAlarmActions, !Ref AlarmActions, !Ref AWS::NoValue]
      OKActions: !If [HasAlarmActions, !Ref AlarmActions, !Ref AWS::NoValue]

"""


def _dashboard(table: dict[str, Any]) -> str:
    widgets = [json.dumps(_widget(*each)) for each in enumerate(table["panels"])]
    ends = [","] * (len(widgets) - 1) + [""]
    text = "".join(f"          {each}{end}\n" for each, end in zip(widgets, ends, strict=True))
    return f"""\
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: !Sub ${{AWS::StackName}}-${{AWS::Region}}
      DashboardBody: !Sub |
        {{"widgets": [
{text}\
        ]}}
"""


def _widget(number: int, panel: dict[str, Any]) -> dict[str, Any]:
    lines = []
    for of, metric, statistic, colour in panel["lines"]:
        namespace, dimensions = _OF[of]
        named = [word for pair in dimensions.items() for word in pair]
        lines.append([namespace, metric, *named, {"stat": statistic, "color": colour}])
    return {
        "type": "metric", "x": 12 * (number % 2), "y": 6 * (number // 2), "width": 12, "height": 6,
        "properties": {
            "title": panel["title"], "region": "${AWS::Region}", "stacked": panel["stacked"],
            "period": 300, "metrics": lines,
        },
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
