"""Keys and tokens of NATS."""

import time

import pytest

from oms.bus.nats.nkey import BadKey, Issuer, payload_of, verify

# The bytes 0..31 as a seed and a public key; the `nkeys` package says the same.
SEED = "SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI"
PUBLIC = "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV"


def test_a_known_seed_gives_its_known_key() -> None:
    issuer = Issuer.from_seed(SEED)
    assert (issuer.public, issuer.seed) == (PUBLIC, SEED)
    assert Issuer.from_seed(f" {SEED}\n").public == PUBLIC


def test_every_new_key_survives_its_seed() -> None:
    made = [Issuer.generate() for _ in range(20)]
    assert [Issuer.from_seed(one.seed).public for one in made] == [one.public for one in made]
    assert len({one.public for one in made}) == 20


def test_the_seed_is_not_shown() -> None:
    assert SEED not in repr(Issuer.from_seed(SEED))


@pytest.mark.parametrize(
    ("seed", "match"),
    [
        ("", "length or checksum"),
        (SEED[:-2], "length or checksum"),
        (SEED[:20] + "A" + SEED[21:], "length or checksum"),
        (PUBLIC, "length or checksum"),
        ("not a seed!", "not base32"),
        ("SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HZGTE", "length or checksum|not the seed"),
    ],
)
def test_a_bad_seed_is_named_and_not_repeated(seed: str, match: str) -> None:
    with pytest.raises(BadKey, match=match) as raised:
        Issuer.from_seed(seed)
    assert not seed or seed not in str(raised.value)


def test_a_token_holds_what_was_signed() -> None:
    issuer = Issuer.from_seed(SEED)
    token = issuer.sign("UABC", {"type": "user"}, name="h1", aud="BUS", exp=123)
    claims = verify(token)
    assert claims["iss"] == PUBLIC
    assert (claims["sub"], claims["name"], claims["aud"], claims["exp"]) == ("UABC", "h1", "BUS", 123)
    assert claims["nats"] == {"type": "user"}
    assert abs(claims["iat"] - time.time()) < 5


def test_a_token_that_was_changed_is_refused() -> None:
    head, payload, signature = Issuer.generate().sign("UABC", {}, name="h1").split(".")
    other = Issuer.generate().sign("UABC", {}, name="h2").split(".")
    with pytest.raises(BadKey, match="signature"):
        verify(f"{head}.{other[1]}.{signature}")
    with pytest.raises(BadKey, match="signature"):
        verify(f"{head}.{payload}.{other[2]}")
    with pytest.raises(BadKey, match="three parts"):
        payload_of(f"{head}.{payload}")
