from hypothesis import given
from hypothesis import strategies as st

from services.query.searching.bits import CHUNK, EMPTY, FEW, Bits, union

SIZE = CHUNK + 100
sets = st.sets(st.integers(0, SIZE - 1), max_size=20)
many = st.integers(0, SIZE - FEW - 2).map(lambda first: set(range(first, first + FEW + 1)))
some = st.one_of(sets, many)


def bits(numbers: set[int]) -> Bits:
    """Also as what has no size."""
    return Bits.of(numbers, SIZE) if numbers else EMPTY


@given(some, some)
def test_they_are_the_sets_that_python_has(one: set[int], other: set[int]) -> None:
    first, second = bits(one), bits(other)

    assert (first & second).numbers() == sorted(one & other)
    assert (first | second).numbers() == sorted(one | other)
    assert (first - second).numbers() == sorted(one - other)
    assert first.count() == len(one)
    assert bool(first) is bool(one)


@given(some)
def test_an_empty_set_of_a_size_is_as_one_of_none(numbers: set[int]) -> None:
    held, nobody = bits(numbers), Bits.of((), SIZE)

    assert not nobody
    assert (held | nobody).numbers() == (nobody | held).numbers() == held.numbers()
    assert (held - nobody).numbers() == held.numbers()
    assert not held & nobody
    assert not nobody - held


@given(st.lists(some, max_size=4))
def test_a_union_has_what_any_has(all_of_them: list[set[int]]) -> None:
    assert set(union(map(bits, all_of_them)).numbers()) == set().union(*all_of_them)


@given(some)
def test_bits_are_read_from_the_lowest(numbers: set[int]) -> None:
    packed = Bits.of(numbers, SIZE).packed()

    assert len(packed) == 2 * CHUNK // 8
    assert numbers == {n for n in range(SIZE) if packed[n // 8] >> n % 8 & 1}


@given(some, st.integers(1, 9))
def test_a_sample_is_a_part(numbers: set[int], every: int) -> None:
    assert set(bits(numbers).numbers(every=every)) <= numbers


def test_below_a_size_is_everything() -> None:
    assert Bits.below(SIZE).numbers() == list(range(SIZE))
    assert Bits.below(CHUNK).count() == CHUNK
    assert not Bits.below(0)
