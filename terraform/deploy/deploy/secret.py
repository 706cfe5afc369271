"""The values of the environment's secrets.

Owns making them: Terraform knows the names and the recipes alone, so that neither its state nor a plan holds
a value. Refuses to read a value, to show one, and to replace one unless it is told to. A run that ends
half-way is finished by the next one. Two runs at once are for the workflow to prevent.
"""

import base64
import json
import secrets
import string
from urllib.parse import quote

from botocore.exceptions import ClientError

from deploy.aws import AWS_ERRORS, Aws, code, explain
from deploy.clock import Clock, attempts
from deploy.console import Console
from deploy.deployment import Deployment, KeyRecipe, PasswordRecipe, PostgresRecipe, Recipe, RedisRecipe
from deploy.errors import DeployError

# Letters and digits need no quoting in a URL and pass ElastiCache's rules; 40 of them are 238 bits.
_ALPHABET = string.ascii_letters + string.digits
_PASSWORD_LENGTH = 40

# A user that is being modified is active again within a minute, mostly within seconds.
_USER_TIMEOUT = 300.0


class Secrets:
    """The secrets of one environment."""

    def __init__(self, aws: Aws, deployment: Deployment, console: Console, clock: Clock) -> None:
        self._aws = aws
        self._deployment = deployment
        self._console = console
        self._clock = clock

    def fill(self) -> None:
        """Gives a value to each secret that has none."""
        for name, recipe in self._deployment.secrets.items():
            if self._has_value(name):
                self._console.say(f"{name}: has a value, which stays")
            else:
                self._make(name, recipe, "run this command again")
                self._console.say(f"{name}: made")

    def rotate(self, wanted: str, invalidate_keys: bool) -> None:
        """Gives one secret a new value, and says what it takes until every service uses it."""
        name = self._full_name(wanted)
        recipe = self._deployment.secrets[name]
        if isinstance(recipe, KeyRecipe) and not invalidate_keys:
            raise DeployError(
                f"{name} seals what is stored: with a new value no task starts that is not given the old one."
                " Apply previous_master_key = true first (terraform/README.md, Change the master key);"
                " then say --dangerously-invalidate-keys."
            )
        self._make(name, recipe, f"run `secrets --rotate {wanted}` again")
        self._console.say(f"{name}: made anew")
        for step in _next_steps(recipe):
            self._console.say(step)

    def _full_name(self, wanted: str) -> str:
        """Takes `database-tenant` for `bulkhead-production/database-tenant`."""
        for name in self._deployment.secrets:
            if wanted in (name, name.removeprefix(f"{self._deployment.name}/")):
                return name
        known = ", ".join(self._deployment.secrets)
        raise DeployError(
            f"{self._deployment.name} has no secret {wanted!r}: set --rotate to one of {known}."
        )

    def _has_value(self, name: str) -> bool:
        try:
            answer = self._aws.secrets.describe_secret(SecretId=name)
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise
            raise DeployError(f"There is no secret {name}: apply Terraform first.") from None
        if answer.get("DeletedDate"):
            raise DeployError(
                f"The secret {name} is being deleted: restore it first (aws secretsmanager restore-secret)."
            )
        return any("AWSCURRENT" in stages for stages in answer.get("VersionIdsToStages", {}).values())

    def _make(self, name: str, recipe: Recipe, remedy: str) -> None:
        match recipe:
            case KeyRecipe():
                self._store(name, {"key": self._key(recipe)})
            case PasswordRecipe():
                self._store(name, {"password": self._password()})
            case PostgresRecipe():
                self._store(name, {"url": _postgres_url(recipe, self._password())})
            case RedisRecipe():
                self._make_redis(name, recipe, remedy)

    def _make_redis(self, name: str, recipe: RedisRecipe, remedy: str) -> None:
        """ElastiCache first: a value in the secret then always is one that worked when it was stored."""
        password = self._password()
        user = self._set_password(recipe.user, password)
        try:
            self._store(name, _redis_urls(recipe, user, password))
        except AWS_ERRORS as error:
            raise DeployError(
                f"{explain(error)}. The user {recipe.user} has a new password already and {name} does not"
                f" hold it: {remedy}, it makes another."
            ) from None

    def _set_password(self, user_id: str, password: str) -> str:
        """Gives the user the one password and tells the name that it logs in with."""
        # A user that is still being modified refuses the next change.
        self._wait_until_active(user_id)
        self._aws.elasticache.modify_user(
            UserId=user_id, AuthenticationMode={"Type": "password", "Passwords": [password]}
        )
        return self._wait_until_active(user_id)

    def _wait_until_active(self, user_id: str) -> str:
        status = ""
        for _ in attempts(self._clock, _USER_TIMEOUT):
            user = self._user(user_id)
            status = user["Status"]
            if status == "active":
                return user["UserName"]
        raise DeployError(
            f"The ElastiCache user {user_id} is still {status} after {_USER_TIMEOUT:.0f} s: look at it in"
            " the console, then run this command again."
        )

    def _user(self, user_id: str) -> dict[str, str]:
        try:
            users: list[dict[str, str]] = self._aws.elasticache.describe_users(UserId=user_id)["Users"]
        except ClientError as error:
            if code(error) not in ("UserNotFound", "UserNotFoundFault"):
                raise
            raise DeployError(f"There is no ElastiCache user {user_id}: apply Terraform first.") from None
        return users[0]

    def _store(self, name: str, value: dict[str, str]) -> None:
        self._console.hide(*value.values())
        self._aws.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(value))

    def _key(self, recipe: KeyRecipe) -> str:
        return base64.b64encode(secrets.token_bytes(recipe.size)).decode("ascii")

    def _password(self) -> str:
        password = "".join(secrets.choice(_ALPHABET) for _ in range(_PASSWORD_LENGTH))
        self._console.hide(password)
        return password


def _postgres_url(recipe: PostgresRecipe, password: str) -> str:
    user, database = quote(recipe.user, safe=""), quote(recipe.database, safe="")
    return f"postgres://{user}:{password}@{recipe.host}:{recipe.port}/{database}"


def _redis_urls(recipe: RedisRecipe, user: str, password: str) -> dict[str, str]:
    login = f"rediss://{quote(user, safe='')}:{password}"
    return {
        "cache_url": f"{login}@{recipe.cache_host}:{recipe.cache_port}/0",
        "queue_url": f"{login}@{recipe.queue_host}:{recipe.queue_port}/0",
    }


def _next_steps(recipe: Recipe) -> list[str]:
    restart = "run `roll` with the image that runs now: tasks read secrets when they start"
    match recipe:
        case KeyRecipe():
            return [f"Next, {restart}. Then hand out new API keys."]
        case PasswordRecipe():
            return ["Operators that were added before keep their passwords: it is for the next one."]
        case PostgresRecipe():
            return [
                f"Next, run `migrate`: it gives {recipe.user} the new password. Then {restart}.",
                "In between, tasks keep their connections and cannot open new ones: do it without a pause.",
            ]
        case RedisRecipe():
            return [
                f"{recipe.user} has the new password now. Next, {restart}.",
                "In between, tasks keep their connections and cannot open new ones; they do without the"
                " cache if need be.",
            ]
