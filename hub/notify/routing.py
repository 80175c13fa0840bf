"""Who is told what: a transition names teams, a team names channels. Pure.

The rules decide whether anybody is told: `notify` is empty for what is pending, silenced or
explained by another alert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pydantic import BaseModel, Field

from hub.notify.channels.base import Policy
from hub.notify.message import Facts, Message, make
from hub.notify.words import Language
from rules.transition import Transition


class Team(BaseModel, extra="forbid", frozen=True):
    """People who are told together, as the settings describe them."""

    name: str = ""
    language: Language | None = None
    """Instead of the hub's."""
    channels: list[str] = Field(default_factory=list)


class Router:
    """Makes the messages that transitions owe.

    `facts` is asked once per transition that anybody hears of.
    """

    def __init__(
        self,
        teams: Mapping[str, Team],
        channels: Mapping[str, Policy],
        facts: Callable[[Transition], Facts],
        *,
        language: Language,
        zone: str,
        public_url: str = "",
    ) -> None:
        self._teams = teams
        self._channels = channels
        self._facts = facts
        self._language = language
        self._zone = zone
        self._public_url = public_url

    def messages(self, transitions: Iterable[Transition]) -> list[Message]:
        """In the transitions' order; for `outbox.owe`, in the transaction that stores them."""
        return [message for transition in transitions for message in self._of(transition)]

    def _of(self, transition: Transition) -> Iterator[Message]:
        hearers = dict(self._hearers(transition))
        if not hearers:
            return
        facts = self._facts(transition)
        for channel, language in hearers.items():
            yield make(
                transition,
                channel,
                facts,
                language=language,
                zone=self._zone,
                public_url=self._public_url,
            )

    def _hearers(self, transition: Transition) -> Iterator[tuple[str, Language]]:
        """Channel and language. Teams that share a channel hear it once, as the last one wishes."""
        for name in transition.notify:
            team = self._teams.get(name)
            if team is None:
                continue
            for channel in team.channels:
                policy = self._channels.get(channel)
                if policy is not None:
                    yield channel, policy.language or team.language or self._language
