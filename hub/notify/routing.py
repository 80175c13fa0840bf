"""Who is told what: a transition names teams, a team names channels and who is on duty. Pure.

The rules decide whether anybody is told: `notify` is empty for what is pending, silenced or
explained by another alert. Who was told of an alert (`heard`) also hears who took it on and that it
is over, whoever is on duty by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, Field

from hub.clock import NS
from hub.localtime import Length
from hub.notify.channels.base import Policy
from hub.notify.message import NIGHT, Facts, Message, again, make
from hub.notify.rota import Duty, Escalation, Person, Quiet, Rota, held_until, on_duty
from hub.notify.words import Language
from rules.duration import HOUR
from rules.transition import Transition

Heard = Callable[[str], Mapping[str, Message]]
"""The key of an alert → channel → what was last told there, if that was not its end."""
Sign = Callable[[str, Transition, str], str]
"""Act, transition, channel → a signed link."""
ACTS = ("acknowledge", "silence")
"""What a message's links can do."""


class Team(BaseModel, extra="forbid", frozen=True):
    """People who are told together, as the settings describe them."""

    name: str = ""
    language: Language | None = None
    """Instead of the hub's."""
    channels: list[str] = Field(default_factory=list)
    """Told always; who is on duty besides."""
    rota: Rota | None = None
    quiet: Quiet | None = None
    escalation: list[Escalation] = Field(default_factory=list)
    remind: Length = 2 * HOUR
    """What nobody acknowledges is told again after so long, then ever more rarely; 0: never."""


@dataclass(frozen=True, slots=True)
class Hearer:
    """How a channel is told."""

    language: Language
    held_ns: int = 0
    """It is night there until then."""


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
        people: Mapping[str, Person] | None = None,
        sign: Sign | None = None,
    ) -> None:
        self.teams = teams
        self.people = people or {}
        self.language, self.zone, self.public_url = language, zone, public_url
        self._channels = channels
        self._facts = facts
        self._sign = sign if public_url else None
        self._teams_of = _teams_of(teams, self.people)

    def messages(
        self, transitions: Iterable[Transition], heard: Heard = lambda _: {}
    ) -> list[Message]:
        """In the transitions' order; for `outbox.owe`, in the transaction that stores them."""
        return [
            message
            for transition in transitions
            for message in self.tell(transition, self._hearers(transition, heard))
        ]

    def tell(self, transition: Transition, hearers: Mapping[str, Hearer]) -> Iterator[Message]:
        """What these channels are told about a transition."""
        if not hearers:
            return
        facts = self._facts(transition)
        for channel, hearer in hearers.items():
            message = make(
                transition,
                channel,
                facts,
                language=hearer.language,
                zone=self.zone,
                public_url=self.public_url,
                acts=self._acts(transition, channel),
            )
            yield self._in_company(message, hearer)

    def tell_again(
        self,
        transition: Transition,
        hearers: Mapping[str, Hearer],
        kind: str,
        number: int,
        now_ns: int,
    ) -> Iterator[Message]:
        """The same once more: the `number`-th escalation or reminder."""
        for message in self.tell(transition, hearers):
            after_ns = now_ns - transition.time_ns
            anew = again(message, kind, number, after_ns, now_ns)
            yield self._in_company(anew, hearers[message.channel])

    def hearers(
        self,
        teams: Iterable[str],
        channels: Iterable[str],
        severity: str,
        at_ns: int,
        languages: Mapping[str, Language] | None = None,
    ) -> dict[str, Hearer]:
        """How the channels of these teams, and these besides, are told something then. Teams that
        share a channel hear it once, as the last one wishes; if one is awake, at once.
        `languages`: of the channels besides."""
        found: dict[str, Hearer] = {}
        for name in teams:
            team = self.teams.get(name)
            if team is None:
                continue
            held_ns = held_until(team.quiet, severity, at_ns, self.zone)
            for channel in self._of_team(team, at_ns):
                before = found.get(channel)
                held = held_ns if before is None else min(held_ns, before.held_ns)
                self._add(found, channel, team.language, held)
        for channel in channels:
            language = (languages or {}).get(channel)
            self._add(found, channel, language, self._night(channel, severity, at_ns))
        return found

    def for_people(self, hearers: Mapping[str, Hearer]) -> dict[str, Hearer]:
        """Those of them that people read."""
        return {name: one for name, one in hearers.items() if self._is_for_people(name)}

    def duty(self, team: str, at_ns: int) -> Duty | None:
        """Who of the team is on duty then; None: it has no rota."""
        rota = self.teams[team].rota
        return on_duty(rota, at_ns, self.zone) if rota else None

    def _add(
        self, found: dict[str, Hearer], channel: str, language: Language | None, held_ns: int
    ) -> None:
        policy = self._channels.get(channel)
        if policy is not None:
            held_ns = held_ns if policy.audience == "people" else 0
            found[channel] = Hearer(policy.language or language or self.language, held_ns)

    def _night(self, channel: str, severity: str, at_ns: int) -> int:
        """Until when it is night for everybody who reads the channel; 0: it isn't."""
        teams = [self.teams[name] for name in self._teams_of.get(channel, ())]
        nights = (held_until(team.quiet, severity, at_ns, self.zone) for team in teams)
        return min(nights, default=0)

    def _of_team(self, team: Team, at_ns: int) -> Iterator[str]:
        yield from team.channels
        if team.rota is not None:
            person = self.people.get(on_duty(team.rota, at_ns, self.zone).person)
            if person is not None:
                yield from person.channels

    def _hearers(self, transition: Transition, heard: Heard) -> dict[str, Hearer]:
        found = self.hearers(transition.notify, (), transition.severity, transition.time_ns)
        if transition.after in ("resolved", "acknowledged"):
            over = transition.after == "resolved"
            for channel, last in heard(transition.key).items():
                # A silence spares people the end; a machine would take it as burning for ever.
                spared = over and not transition.notify and self._is_for_people(channel)
                if channel in self._channels and channel not in found and not spared:
                    held_ns = self._night(channel, transition.severity, transition.time_ns)
                    self._add(found, channel, last.language, held_ns)
        return found

    def _is_for_people(self, channel: str) -> bool:
        policy = self._channels.get(channel)
        return policy is not None and policy.audience == "people"

    def _acts(self, transition: Transition, channel: str) -> dict[str, str]:
        if self._sign is None or transition.after != "firing" or not self._is_for_people(channel):
            return {}
        return {act: self._sign(act, transition, channel) for act in ACTS}

    def _in_company(self, message: Message, hearer: Hearer) -> Message:
        """With what it goes out, and when at the earliest."""
        policy = self._channels[message.channel]
        if policy.audience == "machine":
            return message
        if hearer.held_ns > message.time_ns:
            return replace(message, bunch=NIGHT, not_before_ns=hearer.held_ns)
        if not policy.group_by:
            return message
        facts = message.facts
        known = {
            "rule": message.rule,
            "site": facts.site,
            "kecamatan": facts.kecamatan,
            "opd": facts.opd,
            "kind": facts.kind,
            "severity": message.severity,
        }
        urgent = message.severity == "critical"
        wait_s = policy.critical_wait_s if urgent else policy.wait_s
        alike = [message.kind or message.state, str(int(urgent)), *map(known.get, policy.group_by)]
        return replace(
            message,
            bunch="|".join(str(part) for part in alike),
            not_before_ns=message.time_ns + round(wait_s * NS) if wait_s else 0,
        )


def _teams_of(teams: Mapping[str, Team], people: Mapping[str, Person]) -> dict[str, list[str]]:
    """Channel → the teams that are reached by it, whoever is on duty."""
    found: dict[str, list[str]] = {}
    for name, team in teams.items():
        channels = [*team.channels]
        if team.rota is not None:
            names = [*team.rota.people, *(one.person for one in team.rota.overrides)]
            channels += [c for one in names if one in people for c in people[one].channels]
        for channel in dict.fromkeys(channels):
            found.setdefault(channel, []).append(name)
    return found
