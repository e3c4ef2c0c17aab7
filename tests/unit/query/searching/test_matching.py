import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.query.searching import asking, matching, ranking, terms, unfinished, words
from services.query.searching.bits import Bits
from services.query.searching.matching import Reach
from services.query.searching.terms import Document

letters = st.text("abcdeimnorst", min_size=1, max_size=14)


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, str]:
    """A word, and what somebody who means it types: it or a piece of it, with a few slips."""
    digits = draw(st.sampled_from(["", "", "2", "20", "2000"]))
    word = draw(st.text("abcdeimnorst", min_size=4, max_size=14)) + digits
    asked = draw(st.sampled_from([word, word, word[1:], word[1:-1], word[:-1]]))
    for _ in range(draw(st.integers(0, 2))):
        at, letter = draw(st.integers(0, len(asked))), draw(st.sampled_from("abcdeimnorst12"))
        before, after = asked[:at], asked[at:]
        slips = [before + letter + after, before + letter + after[1:], before + after[1:]]
        asked = draw(st.sampled_from([*slips, before + after[1:2] + after[:1] + after[2:]]))
    return asked, word


def rank(text: str, name: str, email: str = "", phone: str = "", firm: str = "") -> int | None:
    asked = asking.parse(text)
    bag = matching.bag(Document(name, email, phone, None), firm)
    return matching.rank(asked, bag, dict.fromkeys(asked.tokens, Reach.BEGUN))


def test_a_name_is_better_than_an_address_and_a_word_better_than_a_part() -> None:
    ranks = [
        rank("anna", "Anna"),
        rank("anna", "Bo", "anna@mail.example"),
        rank("anna", "Annabel"),
        rank("anna", "Bo", "annabel@mail.example"),
        rank("anna", "Joanna"),
        rank("anna", "Anno"),
    ]

    found = [each for each in ranks if each is not None]
    assert found == sorted(set(found))
    assert len(found) == len(ranks)
    assert rank("anna", "Bert") is None


def test_every_token_must_be_there() -> None:
    assert rank("anna acme", "Anna", firm="Acme AG") is not None
    assert rank("anna acme", "Anna", firm="Globex") is None


def test_misspellings_are_found_by_length() -> None:
    assert rank("smiht", "Smith") is not None
    assert rank("maximilain", "Maximilian") is not None
    assert rank("papadopuols", "Papadopoulos") is not None
    assert rank("bot", "Bob") is None
    assert rank("smiths", "Smyths") is not None
    assert rank("smyhts", "Smiths") is None
    assert rank("alxanda", "Alexandra") is not None
    assert rank("andrsn", "Anderson") is not None
    assert rank("andrn", "Anderson") is None
    assert rank("smyhtte", "Smitthe") is None


def test_what_was_typed_of_a_long_word_may_be_misspelt() -> None:
    assert rank("kristof", "Christoffer Berg") is not None
    assert rank("mohamm", "Muhammad Ali") is not None
    assert rank("moham", "Muhammad Ali") is not None
    assert rank("alexnad", "Alexandra") is not None
    assert rank("christof", "Christopher") is not None
    assert rank("nordtehc", "Bo", firm="Nordtechnik AG") is not None
    assert rank("kristof", "Bo", email="christoffer84@mail.example") is not None
    assert rank("berg kristof", "Christoffer Berg") is not None


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("moha", "Muhammad"),  # too short
        ("martx", "Martha"),  # the last letter of five
        ("krostof", "Christoffer"),  # three edits
        ("chrisxy", "Christoffer"),  # both at the end
        ("mohamx", "Muhammad"),  # the last letter and another
        ("team7x", "Team78"),
        ("47110", "471234"),
    ],
)
def test_too_little_may_be_right_of_what_was_typed_of_a_word(typed: str, name: str) -> None:
    assert rank(typed, name) is None


def test_a_misspelt_beginning_comes_behind_right_ones_and_misspelt_words() -> None:
    assert better("mohamm", "Mohammed", "Muhammad")
    assert better("christo", "Christoffer", "Kristoffer")
    assert better("alexnadr", "Alexandr", "Alexandrina")
    assert better("smihts", "Smiths", "Smithson")
    own, colleague = rank("lindver", "Lindbergsson"), rank("lindver", "Bo", firm="Lindbergsson")
    assert own is not None
    assert colleague is not None
    assert own < colleague


def test_a_number_has_no_misspelling() -> None:
    assert rank("1234567", "Bo", phone="+49 30 1234568") is None
    assert rank("1234567", "Bo", phone="+49 30 1234567") is not None


@pytest.mark.parametrize("contact", [{"firm": "4712 AG"}, {"email": "4712@x.example"}])
def test_digits_are_right_or_wrong_also_in_words(contact: dict[str, str]) -> None:
    assert rank("4711", "Bo 4712", phone="4712", **contact) is None
    assert rank("team4711", "Team4712", **contact) is None
    assert rank("47112", "Bo 4711", phone="4711", **contact) is None


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("taem2000", "Team2000"),
        ("tea2m000", "Team2000"),
        ("logitsik24", "Logistik24"),
        ("lgoistk24", "Logistik24"),
        ("1lpahtech", "1Alphatech"),
        ("mann1um", "Mannium"),
        ("mann1um", "Mannum"),
        ("0mega", "Omega"),
        ("t3am2000", "Team2000"),
        ("mann1u", "Manniumer"),
        ("logitsik2", "Logistik24"),
        ("logisty", "Logistik24"),
    ],
)
def test_a_letter_may_be_wrong_beside_digits_or_be_one(typed: str, name: str) -> None:
    assert rank(typed, name) is not None
    assert rank(typed, "Bo", email=f"{name}@mail.example") is not None


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("team2000", "Team2001"),
        ("taem2000", "Team200"),
        ("team20001", "Team2000"),
        ("lgoistk24", "Logistik42"),
        ("h3oconsult", "H2Oconsult"),
        ("anna19", "Anna"),
        ("logistik1", "Logistik"),
        ("a380", "B380"),  # one letter of one
        ("etma2000", "Team2000"),  # two edits of four
        ("team200o", "Team2000"),
        ("logistik2x", "Logistik24"),
        ("logitsik4", "Logistik24"),
        ("marion24", "Martin24"),
        ("burgur20", "Berger20"),  # two edits of six, whatever digits follow
        ("mirtan2024", "Martin2024"),
    ],
)
def test_digits_beside_letters_have_no_misspelling(typed: str, name: str) -> None:
    assert rank(typed, name) is None


def test_nobody_is_found_by_nothing() -> None:
    assert rank("!", "Anna") is None


@settings(max_examples=200)
@given(typed())
@example(("rtmsrcnt", "trmscrnt"))
def test_what_letter_groups_leave_out_is_no_match(found: tuple[str, str]) -> None:
    """The index looks at words that share letter groups; it must not miss one that matches."""
    asked, word = found
    assume(not word.startswith(asked))
    longer = unfinished.beginning(asked, word)
    level = matching.word_level(asked, word, Reach.BEGUN)
    groups = terms.padded_grams(word)

    if level == matching.INSIDE:
        assert terms.grams(asked) <= groups | terms.grams(word)
    elif longer is not None and level == matching.INSIDE + longer.edits + matching.UNFINISHED:
        shared = terms.beginning_grams(asked) & groups
        assert len(shared) >= unfinished.least_shared(asked)
        assert shared & terms.grams(asked)
    elif level is not None:
        edits = matching.most_edits(asked, len(word))
        shared = terms.padded_grams(asked) & groups
        assert len(shared) >= matching.least_shared(asked, edits)
        assert len(word) in matching.lengths(asked)[edits]


@given(letters, st.lists(letters, max_size=20), st.lists(st.integers(0, 13), max_size=5))
def test_words_have_the_levels_together_that_they_have_alone(
    asked: str, others: list[str], dropped: list[int]
) -> None:
    near = [asked[:place] + asked[place + 1 :] for place in dropped]
    words = [*others, *near, f"x{asked}y"]

    levels = {word: matching.word_level(asked, word, Reach.BEGUN) for word in words}

    found = matching.word_levels(asked, words, Reach.BEGUN)

    assert found == {word: level for word, level in levels.items() if level is not None}


@given(st.text("abcdefgh", min_size=4, max_size=7), st.integers(0, 6))
def test_one_changed_letter_is_always_found(word: str, place: int) -> None:
    changed = word[: place % len(word)] + "z" + word[place % len(word) + 1 :]

    assume(not word.startswith(changed))
    assert matching.word_level(changed, word, Reach.BEGUN) in (matching.INSIDE, matching.NEAR)


@pytest.mark.parametrize("word", ["charlotte", "alexander", "maximilian", "papadopoulos"])
def test_a_long_word_is_found_with_two_pairs_of_letters_swapped(word: str) -> None:
    for first in range(len(word) - 1):
        for second in range(first + 2, len(word) - 1):
            asked = _swapped(_swapped(word, first), second)
            assert (
                word.startswith(asked) or matching.word_level(asked, word, Reach.BEGUN) is not None
            ), asked


def _swapped(word: str, place: int) -> str:
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


@given(letters, st.lists(letters, max_size=20), st.text("abcdeimnorst", min_size=1, max_size=3))
def test_words_begun_are_among_the_candidates(asked: str, others: list[str], more: str) -> None:
    near = [asked[:place] + asked[place + 1 :] + more for place in range(len(asked))]
    words = [*others, *near]

    candidates = unfinished.candidates(asked, words)

    begun = {word for word in words if unfinished.beginning(asked, word) is not None}
    assert begun <= set(candidates)


SLOTS = 40
some_slots = st.sets(st.integers(0, SLOTS - 1))


@given(st.lists(st.dictionaries(st.integers(0, 6), some_slots, max_size=4), max_size=4))
def test_classes_are_the_sums_of_best_levels(tokens: list[dict[int, set[int]]]) -> None:
    found = ranking.classes(
        [{level: Bits.of(slots, SLOTS) for level, slots in each.items()} for each in tokens]
    )

    ranks = {(slot, each.rank) for each in found for slot in each.slots.numbers()}
    wanted = set()
    for slot in range(SLOTS):
        best = [
            min((level for level, slots in each.items() if slot in slots), default=None)
            for each in tokens
        ]
        if best and None not in best:
            wanted.add((slot, sum(level or 0 for level in best)))
    assert ranks == wanted


@given(st.lists(some_slots, max_size=7), st.integers(1, 7))
def test_shared_by_counts_sets(groups: list[set[int]], least: int) -> None:
    found = ranking.shared_by([Bits.of(each, SLOTS) for each in groups], least)

    shared = {slot for slot in range(SLOTS) if sum(slot in each for each in groups) >= least}
    assert set(found.numbers()) == shared


@pytest.mark.parametrize(
    "phone",
    [
        "+1 555-010-0199",
        "+49 170 5550007",
        "030/1234-56",
        "+33 1 23 45 67 89",
        "+372 5550 1234",
        "+49 (0)30 12-34",
        "0049 30 1000.00",
        "(555) 010 0199",
    ],
)
def test_every_part_of_a_number_from_three_digits_on_is_found_with_its_groups_or_without(
    phone: str,
) -> None:
    parts = {phone[a:b] for a in range(len(phone)) for b in range(a + 3, len(phone) + 1)}
    digits = {part: "".join(filter(str.isdigit, part)) for part in parts if part[0] != "."}
    asked = {text for part in digits if len(digits[part]) > 2 for text in (part, digits[part])}

    assert len(asked) > 30
    assert [text for text in asked if rank(text, "Bo", phone=phone) is None] == []


def test_a_few_digits_in_groups_are_found_as_words_or_in_a_number() -> None:
    as_words = rank("studio 54 7", "Studio 54", firm="7 Seas")
    in_number = rank("studio 54 7", "Studio", phone="+49 30 215478")

    assert as_words is not None
    assert in_number is not None
    assert as_words < in_number
    assert rank("studio 54 7", "Studio 54", phone="+49 30 123456") is None


def test_a_word_after_many_others_counts() -> None:
    name = "Ana Berta Carla Dora Emma Frida Greta Hedda Ida"

    assert rank(name, name) is not None
    assert rank(name + " zoe", name) is None


def better(text: str, first: str, second: str) -> bool:
    """Whether both names are found, the first before the second."""
    ranks = rank(text, first), rank(text, second)
    return ranks[0] is not None and ranks[1] is not None and ranks[0] < ranks[1]


def test_who_has_nothing_but_what_was_asked_for_comes_first() -> None:
    assert better("anna kurz", "Kurz, Anna", "Anna Maria Kurz")
    assert better("anna kurz", "Anna Kurz", "Anna Kurz-Lang")
    assert better("müller", "Müller", "Müller Ost")


def test_the_address_that_was_typed_comes_first() -> None:
    asked = "anna@acme.example"
    ranks = [rank(asked, "Anna Kurz", asked), rank(asked, "Anna Kurz", "anna.kurz@acme.example")]

    assert None not in ranks
    assert ranks == sorted(set(ranks), key=lambda found: found or 0)


@pytest.mark.parametrize("asked", ["@owen.com", "owen.com", "Anna @Owen.com"])
@pytest.mark.parametrize(
    "other",
    [
        ("Anna Owen", "anna@mail.com"),
        ("Anna Kurz", "owen@mail.com"),
        ("Anna Kurz", "anna@bowen.company"),
        ("Anna Kurz", "anna@owen.community"),
        ("Anna Kurz", "anna@owen.com.example"),
        ("Anna Owen Com", "anna.owen.com@mail.example"),
        ("Owen Com", "anna@mail.example"),
    ],
)
def test_an_address_of_the_domain_that_was_typed_comes_first(
    asked: str, other: tuple[str, str]
) -> None:
    there, elsewhere = rank(asked, "Anna Kurz-Lang", "anna.k@owen.com"), rank(asked, *other)

    assert there is not None
    assert elsewhere is not None
    assert there < elsewhere


def test_a_domain_of_a_word_that_was_typed_before_comes_first_all_the_same() -> None:
    asked = "owen@owen.com"
    there, elsewhere = rank(asked, "Bo", "bo@owen.com"), rank(asked, "Owen Com")

    assert there is not None
    assert elsewhere is not None
    assert there < elsewhere


def test_beside_a_domain_no_name_counts_as_nothing_but_what_was_typed() -> None:
    """Anna may well begin a longer name: as many words as were typed are no sign of it."""
    names = ("Annabelle Kurz", "Annabelle von Kurz", "Annabelle von und zu Kurz")

    assert len({rank("anna owen.com", name, "a@owen.com") for name in names}) == 1


def test_a_domain_in_other_letters_is_the_same() -> None:
    assert words.domain("Anna@Bücher-Café.Example") == words.domain("a@BUCHER-CAFE.example")
    assert better_there("@bücher.example", "anna@bucher.example", "bucher@mail.example")


def better_there(text: str, first: str, second: str) -> bool:
    ranks = rank(text, "Bo", first), rank(text, "Bo", second)
    return ranks[0] is not None and ranks[1] is not None and ranks[0] < ranks[1]


def test_a_misspelt_name_is_better_than_an_organization_of_that_name() -> None:
    for asked in ("jwckson", "acks", "jacksn"):
        own, colleague = rank(asked, "Jackson"), rank(asked, "Bo", firm="Jackson AG")
        assert own is not None
        assert colleague is not None
        assert own < colleague


def test_umlauts_are_found_as_who_has_no_such_keys_writes_them() -> None:
    assert better("mueller", "Müller", "Meller")
    assert better("Müller", "Müller", "Mueller")
    assert better("muel", "Müller", "Samuel")
    assert rank("soeren", "Søren") == rank("soeren", "Soeren") == rank("søren", "Søren")
    assert rank("Ågård", "Aagaard") is not None


def test_words_are_found_in_one_and_one_in_words() -> None:
    assert rank("mc donald", "Ronald McDonald") is not None
    assert rank("n 26", "Bo", firm="N26 AG") is not None
    assert rank("vanderberg", "Jan van der Berg") is not None
    assert rank("jvandijk", "Jo", "j.van.dijk@mail.example") is not None
    assert rank("creditagricole", "Bo", firm="Crédit Agricole") is not None
    assert rank("bergacme", "Bo Berg", firm="Acme") is None
    assert rank("zzzzzz", "Max Z.") is None
    assert rank("annazz", "Anna Z. Z.") is None


def test_a_syllable_is_a_name_and_the_order_of_syllables_counts() -> None:
    assert better("王", "王小明", "Wanger")
    assert better("민수", "김민수", "김수민")
    assert rank("小明", "王小明") is not None
    assert rank("xiaoming wang", "王小明") is not None
    assert rank("王小明", "Wang Xiaoming") is not None


@given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=8), st.text("ab", max_size=24))
def test_what_is_run_together_are_its_words_in_turn(held: list[str], asked: str) -> None:
    found = matching.run_together(asked, held)

    assert "".join(found) in ("", asked)
    assert set(found) <= set(held)


@pytest.mark.parametrize(
    ("text", "contact"),
    [
        ("1985", {"email": "anna1985@mail.example"}),
        ("985@mail", {"email": "anna1985@mail.example"}),
        ("2000", {"firm": "Team2000 AG"}),
        ("030 1", {"phone": "030 123456"}),
        ("030 1", {"phone": "+49 30 123456"}),
        ("+49 30", {"phone": "+49 30 123456"}),
    ],
)
def test_digits_are_found_inside_words_and_from_the_third_digit_of_a_number_on(
    text: str, contact: dict[str, str]
) -> None:
    assert rank(text, "Bo", **contact) is not None
    assert rank(text, "Bo", email="bo@mail.example", phone="+49 89 555777", firm="Bo AG") is None
