//! A model of a program: each thing that is asked of it is a call.

use super::{Command, Settings};
use braid_mixture::{
    Domains, MixtureError,
    data::Part,
    online::Gradients,
    trainer::{
        Opening, Sample, Session, Stretch, Trained, TrainerError,
        contract::{Answer, CONTRACT, Call, CallFiles, Read, Request, Slopes, by_name, encode},
    },
};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// A model in the middle of its training: a folder that the last call has written.
pub(super) struct Open<'a> {
    pub(super) trainer: &'a Command,
    pub(super) settings: Settings,
    pub(super) opening: Opening<'a>,
    pub(super) model: Option<PathBuf>,
    /// The model that excess losses refer to.
    pub(super) reference: Option<PathBuf>,
    pub(super) step: u64,
    pub(super) calls: u64,
}

impl Session for Open<'_> {
    fn train(&mut self, stretch: &Stretch<'_>) -> Result<Trained, TrainerError> {
        let files = self.files();
        fs::create_dir(&files.save).map_err(TrainerError::file("create", &files.save))?;
        let (data, domains) = (self.opening.data, self.opening.data.domains());
        let draws = stretch.batches.iter().flat_map(|batch| batch.0.iter().enumerate());
        let sequences = draws.flat_map(|(domain, draws)| draws.clone().map(move |draw| data.draw(stretch.stream, domain, draw)));
        write_sequences(&files.sequences, sequences)?;
        let counts: Vec<Vec<u64>> =
            stretch.batches.iter().map(|batch| batch.0.iter().map(|draws| draws.end - draws.start).collect()).collect();
        let steps = counts.len() as u64;
        let tokens = |domain| counts.iter().filter_map(|counts| counts.get(domain)).sum::<u64>() * data.context() as u64;
        let asked: Vec<u64> = (0..domains.len()).map(tokens).collect();
        let call = Call::Train {
            save: &files.save,
            steps,
            proportions: by_name(domains, stretch.proportions),
            counts,
            objective: stretch.objective.map(|objective| by_name(domains, objective)),
            reference: self.reference.as_deref().filter(|_| stretch.excess),
            draws: stretch.batches.first().map_or_else(Vec::new, |batch| batch.0.iter().map(|draws| draws.start).collect()),
            sequences: &files.sequences,
        };
        let what = format!("the trainer's call for steps {} to {}", self.step, self.step + steps);
        let answer: Answer = self.call(&what, &files, call)?;
        let tokens = answer.tokens(domains, asked)?;
        let mut losses = answer.losses(domains)?;
        for (loss, &tokens) in losses.iter_mut().zip(&tokens) {
            // A loss that is no number is told as such: whoever asked knows the domain's name.
            *loss = (tokens > 0).then_some(loss.unwrap_or(f64::NAN));
        }
        let mut excess = if stretch.excess { answer.excess(domains)? } else { vec![] };
        if stretch.excess && excess.is_empty() {
            let (step, method) = (stretch.first + steps, "the method");
            return Err(MixtureError::Missing { step, what: "the excess loss", method }.into());
        }
        for (excess, &tokens) in excess.iter_mut().zip(&tokens) {
            *excess = (tokens > 0).then_some(excess.unwrap_or(f64::NAN));
        }
        self.model = Some(files.save);
        self.step += steps;
        Ok(Trained { tokens, losses, excess })
    }

    fn evaluate(&mut self, part: Part, domains: &[usize], most: u64) -> Result<Vec<f64>, TrainerError> {
        let (data, files) = (self.opening.data, self.files());
        let counts = domains.iter().map(|&domain| data.held_out(part, domain, most)).collect::<Result<Vec<_>, _>>()?;
        let held_out = domains.iter().zip(&counts);
        let sequences =
            held_out.flat_map(|(&domain, &count)| (0..count).map(move |index| data.held_out_sequence(part, domain, index)));
        write_sequences(&files.sequences, sequences)?;
        let what = format!("the trainer's evaluation at step {}", self.step);
        let answer: Answer =
            self.call(&what, &files, Call::Evaluate { part, of: domains, counts, sequences: &files.sequences })?;
        let asked = Domains::new(domains.iter().map(|&domain| data.domains().name(domain)))?;
        Ok(answer.losses(&asked)?.into_iter().map(|loss| loss.unwrap_or(f64::NAN)).collect())
    }

    fn save(&mut self, folder: &Path) -> Result<(), TrainerError> {
        let Some(model) = &self.model else {
            let problem = "nothing has been trained yet".into();
            return Err(TrainerError::Failed { what: "saving a checkpoint".into(), problem });
        };
        copy(model, folder)
    }

    fn refer(&mut self, reference: &Path) -> Result<(), TrainerError> {
        self.reference = Some(reference.to_owned());
        Ok(())
    }

    fn gradients(&mut self, sample: &Sample) -> Result<Gradients, TrainerError> {
        let (data, files) = (self.opening.data, self.files());
        let training = sample.training.iter().map(|draws| draws.end - draws.start).collect();
        let domains: Vec<usize> = (0..data.domains().len()).collect();
        let most = |most: u64| -> Result<Vec<u64>, MixtureError> {
            domains.iter().map(|&domain| data.held_out(Part::Validation, domain, most)).collect()
        };
        let held_out = sample.held_out.map_or_else(|| Ok(vec![]), most)?;
        let draws = sample.training.iter().enumerate();
        let sequences = draws.flat_map(|(domain, draws)| draws.clone().map(move |draw| data.draw(sample.stream, domain, draw)));
        let after = domains
            .iter()
            .zip(&held_out)
            .flat_map(|(&domain, &count)| (0..count).map(move |index| data.held_out_sequence(Part::Validation, domain, index)));
        write_sequences(&files.sequences, sequences.chain(after))?;
        let what = format!("the trainer's gradients at step {}", self.step);
        let call = Call::Gradients { training, held_out, sequences: &files.sequences };
        let slopes: Slopes = self.call(&what, &files, call)?;
        Ok(slopes.arrange(data.domains())?)
    }
}

impl Open<'_> {
    fn files(&mut self) -> CallFiles {
        self.calls += 1;
        CallFiles::new(self.opening.scratch, self.calls)
    }

    fn call<A: Read>(&self, what: &str, files: &CallFiles, call: Call<'_>) -> Result<A, TrainerError> {
        let Opening { data, seed, schedule, task, .. } = self.opening;
        let (from, step, context) = (self.model.as_deref(), self.step, data.context());
        let request = Request { contract: CONTRACT, from, step, seed, schedule, context, domains: data.domains().names(), call };
        fs::write(&files.request, encode(&request)).map_err(TrainerError::file("write", &files.request))?;
        self.trainer.call(&self.settings, what, files, task)?;
        // Large, and read by now.
        let _ = fs::remove_file(&files.sequences);
        Ok(A::read(&files.answer)?)
    }
}

fn write_sequences(path: &Path, sequences: impl Iterator<Item = Result<Vec<u32>, MixtureError>>) -> Result<(), TrainerError> {
    let mut file = BufWriter::new(File::create(path).map_err(TrainerError::file("create", path))?);
    for sequence in sequences {
        let bytes: Vec<u8> = sequence?.into_iter().flat_map(u32::to_le_bytes).collect();
        file.write_all(&bytes).map_err(TrainerError::file("write", path))?;
    }
    file.flush().map_err(TrainerError::file("write", path))
}

/// Copies what is in a folder into another one, by links where the disk has them: nobody changes a checkpoint.
fn copy(from: &Path, to: &Path) -> Result<(), TrainerError> {
    for entry in fs::read_dir(from).map_err(TrainerError::file("read", from))? {
        let entry = entry.map_err(TrainerError::file("read", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(TrainerError::file("read", &path))?.is_dir() {
            fs::create_dir(&target).map_err(TrainerError::file("create", &target))?;
            copy(&path, &target)?;
        } else if fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map_err(TrainerError::file("copy", &path))?;
        }
    }
    Ok(())
}
