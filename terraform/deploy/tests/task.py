"""What ECS tells of a task."""

from typing import Any

Json = dict[str, Any]


def stopped(exit_code: int | None, **more: Any) -> Json:
    container = {"name": "migrate", "lastStatus": "STOPPED"}
    if exit_code is not None:
        container["exitCode"] = exit_code  # type: ignore[assignment]
    return {
        "lastStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "startedAt": 1.0,
        "containers": [{"name": "collector", "exitCode": 143}, container],
        **more,
    }


PENDING: Json = {"lastStatus": "PENDING", "containers": []}
RUNNING: Json = {"lastStatus": "RUNNING", "startedAt": 1.0, "containers": [{"name": "migrate"}]}
