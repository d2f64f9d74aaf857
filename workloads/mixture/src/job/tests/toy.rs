//! A trainer with a law: the loss on a domain falls with the tokens seen of it, and a little with those of its neighbour.

use crate::{
    data::Part,
    online::Gradients,
    trainer::{Opening, Sample, Session, Stretch, Trained, Trainer, TrainerError, Trainers},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Tokens, in thousands, that lower a domain's loss by a factor of e.
const SCALE: [f64; 3] = [2.0, 2.5, 4.0];

struct Toy;

pub(super) fn trainers() -> Trainers {
    let toy: Arc<dyn Trainer> = Arc::new(Toy);
    Trainers::new([("toy", toy)])
}

/// A model: what it has seen of each domain, and a digest of the sequences themselves.
struct Model<'a> {
    opening: Opening<'a>,
    seen: Vec<f64>,
    digest: f64,
    reference: Vec<f64>,
}

impl Trainer for Toy {
    fn check(&self, _: &Value) -> Result<(), TrainerError> {
        Ok(())
    }

    fn open<'a>(&'a self, opening: Opening<'a>) -> Result<Box<dyn Session + 'a>, TrainerError> {
        let (seen, digest) = match opening.from {
            Some((folder, _)) => load(folder)?,
            None => (vec![0.0; opening.data.domains().len()], opening.seed as f64),
        };
        Ok(Box::new(Model { opening, seen, digest, reference: vec![] }))
    }
}

fn load(folder: &Path) -> Result<(Vec<f64>, f64), TrainerError> {
    let path = folder.join("toy.json");
    let text = fs::read_to_string(&path).map_err(TrainerError::file("read", &path))?;
    Ok(serde_json::from_str(&text).unwrap())
}

impl Model<'_> {
    fn loss(&self, seen: &[f64], domain: usize) -> f64 {
        let neighbour = if domain == 2 { 0.0 } else { 0.1 * seen[1 - domain] };
        1.0 + 3.0 * libm::exp(-(seen[domain] + neighbour) / 1000.0 / SCALE[domain])
    }
}

impl Session for Model<'_> {
    fn train(&mut self, stretch: &Stretch<'_>) -> Result<Trained, TrainerError> {
        let (data, domains) = (self.opening.data, self.seen.len());
        let mut trained = Trained { tokens: vec![0; domains], losses: vec![None; domains], excess: vec![] };
        let before: Vec<f64> = (0..domains).map(|domain| self.loss(&self.seen, domain)).collect();
        for batch in &stretch.batches {
            for (domain, draws) in batch.0.iter().enumerate() {
                for draw in draws.clone() {
                    let sequence = data.draw(stretch.stream, domain, draw)?;
                    self.digest = sequence.iter().fold(self.digest, |digest, &token| (digest * 31.0 + f64::from(token)) % 1e9);
                    trained.tokens[domain] += data.context() as u64;
                }
            }
        }
        for domain in 0..domains {
            self.seen[domain] += trained.tokens[domain] as f64;
        }
        for domain in (0..domains).filter(|domain| trained.tokens[*domain] > 0) {
            // Data is a little chance, the same for all who see the same.
            trained.losses[domain] = Some(0.5 * (before[domain] + self.loss(&self.seen, domain)) + self.digest * 1e-12);
        }
        if stretch.excess {
            let over =
                |(domain, loss): (usize, &Option<f64>)| loss.map(|loss| (loss - self.loss(&self.reference, domain)).max(0.0));
            trained.excess = trained.losses.iter().enumerate().map(over).collect();
        }
        Ok(trained)
    }

    fn evaluate(&mut self, part: Part, domains: &[usize], _: u64) -> Result<Vec<f64>, TrainerError> {
        let worse = if part == Part::Test { 0.01 } else { 0.0 };
        Ok(domains.iter().map(|&domain| self.loss(&self.seen, domain) + worse).collect())
    }

    fn save(&mut self, folder: &Path) -> Result<(), TrainerError> {
        let path = folder.join("toy.json");
        let text = serde_json::to_string(&(&self.seen, self.digest)).unwrap();
        fs::write(&path, text).map_err(TrainerError::file("write", &path))
    }

    fn refer(&mut self, reference: &Path) -> Result<(), TrainerError> {
        self.reference = load(reference)?.0;
        Ok(())
    }

    fn gradients(&mut self, sample: &Sample) -> Result<Gradients, TrainerError> {
        let domains = self.seen.len();
        let slopes: Vec<f64> = (0..domains).map(|domain| (self.loss(&self.seen, domain) - 1.0) / SCALE[domain]).collect();
        let product = |i: usize, j: usize| slopes[i] * slopes[j] * if i == j { 1.0 } else { 0.1 };
        let row = |i| (0..domains).map(|j| product(i, j)).collect();
        Ok(Gradients {
            squared_norms: slopes.iter().map(|slope| slope * slope).collect(),
            variances: vec![0.1; domains],
            products: if sample.held_out.is_some() { (0..domains).map(row).collect() } else { vec![] },
            learning_rate: 0.01,
        })
    }

    fn blend(&mut self, parts: &[(f64, PathBuf)]) -> Result<(), TrainerError> {
        self.seen.fill(0.0);
        for (weight, folder) in parts {
            let (seen, _) = load(folder)?;
            self.seen.iter_mut().zip(seen).for_each(|(sum, seen)| *sum += weight * seen);
        }
        Ok(())
    }
}
