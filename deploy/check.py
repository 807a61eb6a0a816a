"""Validates the files of deploy/ against the schemas of the tools that read them. Run by deploy/check.sh with tests/requirements.txt.

Kubernetes' kinds are validated as its API server does (kubernetes-validate, strict: an unknown member is an
error); KServe's against the members and types that its own Python client knows; the compose file against the
compose specification.
"""

import ast
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

here = Path(__file__).parent
KUBERNETES = "1.34"


def package(name):
    # Read, not imported: these packages have large dependencies of their own.
    return Path(next(iter(find_spec(name).submodule_search_locations)))


def kserve_models():
    """For each of KServe's types, the type of each member by its name in YAML."""
    models = {}
    for path in (package("kserve") / "models").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found = {target.id: ast.literal_eval(statement.value)
                         for statement in node.body if isinstance(statement, ast.Assign)
                         for target in statement.targets
                         if isinstance(target, ast.Name) and target.id in ("openapi_types", "attribute_map")}
                if len(found) == 2:
                    types, names = found["openapi_types"], found["attribute_map"]
                    models[node.name] = {name: types[attribute] for attribute, name in names.items()}
    return models


PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def check_kserve(models, kind, value, place):
    if inner := re.fullmatch(r"(?:list\[|List\[)(.*)\]", kind):
        assert isinstance(value, list), f"{place} is not a list"
        for i, element in enumerate(value):
            check_kserve(models, inner[1], element, f"{place}[{i}]")
    elif kind.startswith(("dict", "Dict")) or kind not in models and kind not in PLAIN:
        assert isinstance(value, dict) or kind not in PLAIN, f"{place} is not an object"
    elif kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{place} is not {kind}"
    else:
        assert isinstance(value, dict), f"{place} is not an object"
        for name, element in value.items():
            assert name in models[kind], f"{place} has no {name}; {kind} has {', '.join(models[kind])}"
            check_kserve(models, models[kind][name], element, f"{place}.{name}")


def check_container(container):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container]}}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


kinds = []
models = kserve_models()
for path in sorted((here / "kubernetes").glob("*.yaml")):
    for resource in yaml.safe_load_all(path.read_text()):
        group, version = resource["apiVersion"].rsplit("/", 1) if "/" in resource["apiVersion"] else ("", "v1")
        if group == "serving.kserve.io":
            check_kserve(models, version.capitalize() + resource["kind"], resource, resource["kind"])
            for container in resource["spec"].get("containers", []):
                check_container(container)
        else:
            kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        kinds.append(resource)

# A schema sees one document alone; these fields have to agree between documents:
by_kind = {resource["kind"]: resource for resource in kinds}
scalers = [resource for resource in kinds if resource["kind"] == "HorizontalPodAutoscaler"]
assert len({(one["metadata"]["name"], str(one["spec"]["scaleTargetRef"])) for one in scalers}) == 1, "two scalers fight"
gauges = re.findall(r'"(mlapi_[a-z_]+)", "gauge"', (here.parent / "src/server/api/exposition.rs").read_text())
for metric in (metric for one in scalers for metric in one["spec"]["metrics"] if metric["type"] == "Pods"):
    assert metric["pods"]["metric"]["name"] in gauges, f"the server has no gauge {metric['pods']['metric']['name']}"
assert {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ServingRuntime", "Job"} <= by_kind.keys()
deployment = by_kind["Deployment"]
labels = deployment["spec"]["template"]["metadata"]["labels"]
for selector in [
    deployment["spec"]["selector"]["matchLabels"],
    by_kind["Service"]["spec"]["selector"],
    by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
]:
    assert selector.items() <= labels.items(), f"{selector} selects no pod with {labels}"
scaled = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
assert (scaled["kind"], scaled["name"]) == ("Deployment", deployment["metadata"]["name"])
ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
assert {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]} <= ports
version = re.search(r'^version = "(.*)"', (here.parent / "Cargo.toml").read_text(), re.M)[1]
for resource in (deployment["spec"]["template"]["spec"], by_kind["ServingRuntime"]["spec"]):
    assert resource["containers"][0]["image"] == f"mlapi:{version}", f"the image is not that of {version}"

compose = yaml.safe_load((here / "compose.yaml").read_text())
schema = json.loads((package("compose") / "config" / "compose_spec.json").read_text())
jsonschema.Draft7Validator(schema).validate(compose)

# What requests take at the default limits of the server, and room for models.
unit = (here / "mlapi.service").read_text()
limits = [re.search(r"^MemoryMax=(.*)$", unit, re.M)[1], compose["services"]["mlapi"]["mem_limit"]]
for resource in (deployment["spec"]["template"]["spec"], by_kind["ServingRuntime"]["spec"]):
    limits.append(resource["containers"][0]["resources"]["limits"]["memory"])
assert {limit.rstrip("i").upper() for limit in limits} == {"768M"}, f"memory is limited to {limits}"

# Show that the checks can fail.
broken = json.loads(json.dumps(deployment))
broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
for wrong in [
    lambda: kubernetes_validate.validate(broken, KUBERNETES, strict=True),
    lambda: check_kserve(models, "V1alpha1ServingRuntime", {"spec": {"suportedModelFormats": []}}, "x"),
    lambda: jsonschema.Draft7Validator(schema).validate({"services": {"a": {"imagee": "x"}}}),
]:
    try:
        wrong()
    except Exception:
        continue
    sys.exit("a broken document was found to be right")
print(f"{', '.join(sorted(by_kind))} and the compose file fit their schemas")
