"""Who we are and what we talk to."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from insights_exporter.coder.models.fields import Count, Id, Text, Time, none_if_zero_time

__all__ = ["BuildInfo", "Organization", "Role", "Token", "User", "UsersPage"]


class BuildInfo(Struct, frozen=True, gc=False):
    """``/buildinfo``."""

    version: Text
    deployment_id: Text = ""
    dashboard_url: Text = ""
    external_url: Text = ""


class Role(Struct, frozen=True, gc=False):
    """A role of a user; without an organization it holds for the whole site."""

    name: Text
    organization_id: Text = ""


class User(Struct, frozen=True, gc=False):
    """A user of the deployment; the e-mail address is left where it is."""

    id: Id
    username: Text
    name: Text = ""
    avatar_url: Text = ""
    status: Text = ""
    login_type: Text = ""
    created_at: Time | None = None
    last_seen_at: Time | None = None
    organization_ids: list[Text] = []
    roles: list[Role] = []
    is_service_account: bool = False

    @property
    def last_seen(self) -> datetime | None:
        """When the user last used Coder; None for never."""
        return none_if_zero_time(self.last_seen_at)


class UsersPage(Struct, frozen=True, gc=False):
    """``/users``; ``count`` is the number of all users, or 0 on an empty page."""

    users: list[User]
    count: Count | None = None


class Token(Struct, frozen=True, gc=False):
    """A session token's record, without the token."""

    id: Id
    expires_at: Time | None = None
    token_name: Text = ""
    scope: Text = ""


class Organization(Struct, frozen=True, gc=False):
    """An organization that the account may read."""

    id: Id
    name: Text
    display_name: Text = ""
    icon: Text = ""
    is_default: bool = False
