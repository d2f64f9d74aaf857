"""Who the coordinator is, and who asks."""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from coordinator import Coordinator

from braid import BadCredentials, PlanClient, Refused, Unavailable, trust

SECRET, CA = "5a" * 32, "c0" * 32
TOKEN = f"braid-user-{SECRET}-{CA}"


def nothing_set():
    return mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": "/nonexistent"}, clear=True)


class Resolving(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name, "braid", "credentials.json")
        self.file.parent.mkdir()
        self.write({"coordinators": ["h:1", "h:2"], "token": TOKEN})
        patch = nothing_set()
        patch.start()
        self.addCleanup(patch.stop)

    def write(self, known, mode=0o600):
        self.file.write_text(known if isinstance(known, str) else json.dumps(known))
        self.file.chmod(mode)

    def test_what_is_given_comes_before_what_is_set_and_that_before_the_file(self):
        known = trust.Token(SECRET, CA)
        self.assertEqual(trust.resolve("a:1", TOKEN, None), ("a:1", known))
        self.assertEqual(trust.resolve(None, None, self.file), ("h:1", known))
        self.assertEqual(trust.resolve("a:1", None, self.file), ("a:1", known))
        os.environ["XDG_CONFIG_HOME"] = str(self.file.parent.parent)
        self.assertEqual(trust.resolve(None, None, None), ("h:1", known))
        os.environ.update(BRAID_TOKEN=TOKEN.replace("5a", "5b"), BRAID_COORDINATOR="e:1")
        self.assertEqual(trust.resolve(None, None, None), ("e:1", trust.Token("5b" * 32, CA)))
        self.assertEqual(trust.resolve(None, TOKEN, None), ("e:1", known))

    def test_what_is_wrong_is_said_and_the_secret_is_not(self):
        cases = [
            (lambda: trust.resolve("a:1", None, None), "there is no credentials file"),
            (lambda: trust.resolve(None, TOKEN, None), "no coordinator is named"),
            (lambda: trust.resolve("a:1", TOKEN[:-1], None), "not a token"),
            (lambda: trust.resolve("a:1", TOKEN.replace("user", "join"), None), "a join token lets a worker join"),
        ]
        for ask, text in cases:
            with self.assertRaisesRegex(BadCredentials, text) as caught:
                ask()
            self.assertNotIn(SECRET[:8], str(caught.exception))
        self.assertNotIn(SECRET, repr(trust.Token(SECRET, CA)))

    def test_a_file_must_be_one_and_private(self):
        self.write({"coordinators": [], "token": TOKEN}, mode=0o640)
        with self.assertRaisesRegex(BadCredentials, "others can read"):
            trust.resolve("a:1", None, self.file)
        for known in ["{", "[]", '{"token": "x"}', {"coordinators": "h:1", "token": TOKEN}, {"coordinators": [], "token": 1}]:
            self.write(known)
            with self.assertRaisesRegex(BadCredentials, "is not a credentials file"):
                trust.resolve("a:1", None, self.file)


class Protected(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.coordinator = Coordinator(protected=True).__enter__()
        cls.addClassCleanup(cls.coordinator.__exit__)

    def test_a_protected_coordinator_plans_for_who_has_its_credentials(self):
        with nothing_set(), PlanClient(credentials=self.coordinator.credentials) as braid:
            self.assertEqual(braid.plan([100, 200], "a100x64", "gpt-7b").world, 64)
            plans = braid.plans([[100], [200]], "a100x64", "gpt-7b")
            self.assertEqual(len(list(plans)), 2)

    def test_another_fleet_and_a_wrong_secret_are_refused(self):
        token = json.loads(Path(self.coordinator.credentials).read_text())["token"]
        secret, ca = token.split("-")[2:]
        with self.assertRaisesRegex(Refused, "not of the fleet"):
            PlanClient(self.coordinator.address, token=f"braid-user-{secret}-{CA}")
        with PlanClient(self.coordinator.address, token=f"braid-user-{SECRET}-{ca}") as braid:
            with self.assertRaises(Refused):
                braid.plan([100], "a100x64", "gpt-7b")

    def test_plaintext_is_not_taken_for_tls(self):
        with Coordinator() as coordinator:
            with self.assertRaisesRegex(Refused, "does not speak TLS"):
                PlanClient(coordinator.address, token=TOKEN)
            address = coordinator.address
        with self.assertRaisesRegex(Unavailable, "no coordinator answers"):
            PlanClient(address, token=TOKEN, retry_for=0.0)


if __name__ == "__main__":
    unittest.main()
