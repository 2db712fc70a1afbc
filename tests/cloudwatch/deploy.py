"""What the tests of `deploy/` need of Python: readers of Terraform's language and of YAML, AWS's own model of its calls,
and Kubernetes' own model of its objects.

    deploy.py parse DIRECTORY     every block of the module, as JSON
    deploy.py put ENDPOINT        puts what standard input holds into AWS, and prints what AWS has then
    deploy.py manifest FILE       the objects of a manifest, as JSON, or what Kubernetes would refuse

boto3 refuses what is not in the model of a call, before the double sees it. A manifest has to fit an old release of
Kubernetes and the newest that is known, without a field that they do not know.
"""

import json
import pathlib
import sys

import boto3
import hcl2
import kubernetes_validate
import yaml

KUBERNETES = ("1.30", kubernetes_validate.latest_version())


def parse(directory):
    blocks = {}
    for path in sorted(pathlib.Path(directory).glob("*.tf")):
        with path.open() as file:
            for kind, found in hcl2.load(file).items():
                if kind != "__comments__":
                    blocks.setdefault(kind, []).extend(found)
    return blocks


def put(endpoint):
    def client(service):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="eu-west-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    given = json.load(sys.stdin)
    logs, cloudwatch, iam, ecs = (client(name) for name in ("logs", "cloudwatch", "iam", "ecs"))

    logs.create_log_group(logGroupName=given["log_group"]["logGroupName"])
    logs.put_retention_policy(**given["log_group"])
    cloudwatch.put_dashboard(DashboardName="tested", DashboardBody=json.dumps(given["dashboard"]))
    for alarm in given["alarms"]:
        cloudwatch.put_metric_alarm(**alarm)
    for number, policy in enumerate(given["policies"]):
        iam.create_policy(PolicyName=f"tested-{number}", PolicyDocument=json.dumps(policy))
    task = ecs.register_task_definition(
        family="tested",
        networkMode="awsvpc",
        requiresCompatibilities=["EC2"],
        containerDefinitions=[given["application"], given["container"]],
    )
    definitions = [ecs.register_task_definition(**definition) for definition in given["task_definitions"]]
    return {
        "log_groups": logs.describe_log_groups()["logGroups"],
        "dashboard": json.loads(cloudwatch.get_dashboard(DashboardName="tested")["DashboardBody"]),
        "alarms": cloudwatch.describe_alarms()["MetricAlarms"],
        "policies": len(iam.list_policies(Scope="Local")["Policies"]),
        "containers": task["taskDefinition"]["containerDefinitions"],
        "task_definitions": [definition["taskDefinition"] for definition in definitions],
    }


def manifest(path):
    objects = list(yaml.safe_load_all(pathlib.Path(path).read_text()))
    for one in objects:
        for version in KUBERNETES:
            kubernetes_validate.validate(one, version, strict=True)
    return objects


if __name__ == "__main__":
    verb, argument = sys.argv[1:]
    json.dump({"parse": parse, "put": put, "manifest": manifest}[verb](argument), sys.stdout, default=str)
