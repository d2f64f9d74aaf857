"""Batches as Braid composes them, and what a sampler makes of them."""

import json
import unittest
from collections import Counter
from pathlib import Path

from steered import Law, Steered

from braid.mixture import BatchSampler, Composer, Mixture

GOLDENS = Path(__file__).resolve().parent / "../../../workloads/mixture/testdata/compose/batches.json"
SIZES = {"web": 30, "code": 20}


class Composition(unittest.TestCase):
    def test_batches_are_those_of_braid(self):
        cases = json.loads(GOLDENS.read_text())
        self.assertEqual(len(cases), 7)
        for case in cases:
            with self.subTest(domains=case["domains"], rule=case["rule"]):
                composer = Composer(case["domains"], case["slots"])
                for batch in case["batches"]:
                    self.assertEqual(composer.next(batch["proportions"], case["rule"], case["seed"]), batch["counts"])
                self.assertEqual(composer.state(), case["state"])

    def test_it_goes_on_from_its_state(self):
        whole, shares = Composer(3, 8), (0.45, 0.35, 0.2)
        expected = [whole.next(shares) for _ in range(9)]
        first, second = Composer(3, 8), Composer(3, 8)
        found = [first.next(shares) for _ in range(4)]
        second.load_state(**json.loads(json.dumps(first.state())))
        self.assertEqual([*found, *(second.next(shares) for _ in range(5))], expected)

    def test_what_cannot_be_composed(self):
        with self.assertRaisesRegex(ValueError, "2 slots cannot hold each of 3"):
            Composer(3, 2)
        with self.assertRaisesRegex(ValueError, "expected 3 entries"):
            Composer(3, 8).next((0.5, 0.5))
        with self.assertRaisesRegex(ValueError, "of 2 domains, not of 3"):
            Composer(3, 8).load_state([0, 0], 0)


class Sampling(unittest.TestCase):
    def sampled(self, steered, model, **options):
        batches = []
        with Mixture(address=steered.address, evaluate=model.losses) as mixture:
            sampler = BatchSampler(mixture, SIZES, **options)
            while (weights := mixture.weights(mixture.done)) is not None:
                # As a loader that reads ahead: the whole leg before its first step.
                for indices in list(sampler):
                    batches.append(indices)
                while mixture.done < weights.until:
                    losses, tokens = model.train(mixture.batch(mixture.done))
                    mixture.report(mixture.done + 1, losses, tokens)
            mixture.finish()
            names = [[sampler.domain_of(index) for index in batch] for batch in batches]
        return batches, names

    def test_every_sequence_once_an_epoch_in_the_proportions_of_the_leg(self):
        with Steered(proportions=lambda since: (0.75, 0.25) if since < 10 else (0.25, 0.75)) as steered:
            batches, names = self.sampled(steered, Law())
        self.assertEqual([len(batch) for batch in batches], [8] * 20)
        self.assertEqual([Counter(batch)["web"] for batch in names], [6] * 10 + [2] * 10)
        web = [index for batch in batches for index in batch if index < 30]
        self.assertEqual((sorted(web[:30]), sorted(web[30:60])), (list(range(30)), list(range(30))))
        self.assertNotEqual(web[:30], web[30:60])

    def test_ranks_and_micro_batches_divide_a_step(self):
        whole, parts = [], []
        with Steered() as steered:
            whole, _ = self.sampled(steered, Law())
        for rank in range(2):
            with Steered() as steered:
                parts.append(self.sampled(steered, Law(), rank=rank, world=2, micro_batch=3)[0])
        self.assertEqual([len(batch) for batch in parts[0][:4]], [3, 1, 3, 1])
        for step, batch in enumerate(whole):
            mine = [sum(part[2 * step : 2 * step + 2], []) for part in parts]
            self.assertEqual((mine[0], mine[1]), (batch[::2], batch[1::2]))

    def test_what_cannot_be_sampled(self):
        with Steered() as steered, Mixture(address=steered.address) as mixture:
            for options, said in [
                ({"sizes": {"web": 3}}, "no data of code"),
                ({"sizes": SIZES, "rank": 2, "world": 2}, "rank 2 is none of 2"),
                ({"sizes": SIZES, "micro_batch": 0}, "micro_batch is 0"),
            ]:
                with self.assertRaisesRegex(ValueError, said):
                    BatchSampler(mixture, **options)
            with self.assertRaisesRegex(ValueError, "no sequence 50"):
                BatchSampler(mixture, SIZES).domain_of(50)


if __name__ == "__main__":
    unittest.main()
