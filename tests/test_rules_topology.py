"""What depends on what."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rules.topology import Topology, find_cycle

REGENCY = {"cam": ["sw"], "sw": ["r-dlh", "ups"], "r-dlh": ["core"], "aq": ["r-dlh"], "ups": []}


def test_ancestors_come_nearest_first() -> None:
    assert Topology(REGENCY).ancestors("cam") == ("sw", "r-dlh", "ups", "core")
    assert Topology(REGENCY).ancestors("core") == ()


def test_descendants_are_all_that_a_death_drags_along() -> None:
    topology = Topology(REGENCY)
    assert set(topology.descendants("r-dlh")) == {"sw", "aq", "cam"}
    assert topology.children("core") == ("r-dlh",)


def test_a_cycle_is_named_in_full() -> None:
    assert find_cycle({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]
    assert find_cycle({"a": ["a"]}) == ["a", "a"]
    assert find_cycle(REGENCY) is None


def test_a_long_chain_is_no_problem() -> None:
    chain = {str(n): [str(n + 1)] for n in range(5000)}
    assert find_cycle(chain) is None
    assert len(Topology(chain).ancestors("0")) == 5000


graphs = st.dictionaries(
    st.integers(0, 8).map(str), st.lists(st.integers(0, 8).map(str), max_size=4, unique=True)
)


@given(graphs)
def test_there_is_a_cycle_exactly_when_somebody_reaches_itself(graph: dict[str, list[str]]) -> None:
    def reach(name: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph.get(name, []))
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo += graph.get(one, [])
        return seen

    cycle = find_cycle(graph)
    assert (cycle is not None) == any(name in reach(name) for name in graph)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(b in graph[a] for a, b in itertools.pairwise(cycle))
    for name in graph:
        assert set(Topology(graph).ancestors(name)) == reach(name) - {name}
