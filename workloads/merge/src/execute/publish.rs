//! The last task: makes sure that every tensor is there, adds all other files, and gives the result its name.

use super::{Job, tensors::check_claims};
use crate::{
    MergeError,
    methods::{Folder, Report},
    opened::Opened,
    output::{self, Content, Extra, MadeOf, Provenance, Record, Staged, Staging},
    recipe::ModelRef,
    reuse::{INPUTS, identities, part, write_inputs},
    step::{Published, Taken},
};
use serde_json::Value;
use std::time::SystemTime;

impl Job<'_> {
    /// Turns the staging folder into the result.
    pub(super) fn publish(&self) -> Result<Published, MergeError> {
        let opened = self.opened;
        let mut published = Published {
            out: opened.folder.out.display().to_string(),
            stage: opened.is_stage.then(|| opened.recipe.called()),
            recipes: 1 + opened.before.len(),
            models: opened.models().len(),
            tensors: opened.plan.tensors.len(),
            bytes: opened.layout.bytes,
            shards: opened.layout.shards.len(),
            digest: None,
            reused_tensors: 0,
            reused_bytes: 0,
            taken: None,
            repaired_tensors: 0,
        };
        // Opened before the flush is asked how it went: in a folder that another merge has replaced it may have found nothing.
        let Staged::Open(staging) = self.staged()? else { return Ok(published) };
        self.flusher.finish(&self.opened.folder.staging)?;
        let kept = opened.kept(&staging, self.boot)?;
        published.reused_tensors = kept.len();
        published.reused_bytes =
            kept.keys().filter_map(|&index| opened.plan.tensors.get(index)).map(|t| t.bytes_in() + t.bytes_out()).sum();
        let (records, repaired) = self.complete(&staging)?;
        published.repaired_tensors = repaired;
        published.taken = opened.previous.as_ref().map(|previous| {
            let taken: Vec<&Record> = records.iter().filter(|record| record.taken).collect();
            let bytes = taken.iter().filter_map(|record| opened.plan.tensors.get(record.tensor)).map(|t| t.bytes_out()).sum();
            Taken { tensors: taken.len(), bytes, from: previous.checkpoint.root.display().to_string() }
        });
        let shapes = opened.shapes();
        published.digest = Some(output::digest(&shapes, &records).to_string());
        let extras = self.extras(&records, staging.begun()?)?;
        output::publish(staging, &opened.layout, &extras)?;
        self.remove_stages();
        Ok(published)
    }

    /// A record of every tensor. Those whose bytes did not outlive the machine that wrote them are merged again.
    fn complete(&self, staging: &Staging) -> Result<(Vec<Record>, usize), MergeError> {
        let count = self.opened.plan.tensors.len();
        let mut claims = check_claims(self, staging, staging.claims(self.boot, "")?)?;
        self.only_whole(&mut claims);
        let missing: Vec<usize> = (0..count).filter(|index| !claims.contains_key(index)).collect();
        if !missing.is_empty() {
            self.context.log(format!("merging {} tensors again whose bytes are not on disk", missing.len()));
            self.merge(staging, &missing)?;
            self.flusher.finish(&self.opened.folder.staging)?;
            let mut again = staging.claims(self.boot, &self.attempt_name())?;
            claims.append(&mut again);
        }
        let records: Vec<Record> = claims.into_values().map(|claim| claim.record).collect();
        match records.len() == count {
            true => Ok((records, missing.len())),
            false => Err(MergeError::Task(format!("{} of {count} tensors have been merged", records.len()))),
        }
    }

    /// All files of the result but the shards.
    fn extras(&self, records: &[Record], begun: SystemTime) -> Result<Vec<Extra>, MergeError> {
        let opened = self.opened;
        let (plan, shapes) = (&opened.plan, opened.shapes());
        let Some(donor) = plan.models.get(plan.donor) else {
            return Err(MergeError::Task("the plan names no donor of the config".into()));
        };
        let mut extras = match plan.makes {
            Folder::Checkpoint => output::companions(&opened.sources, donor)?,
            Folder::Adapter => Vec::new(),
        };
        if let Some(vocabulary) = plan.vocabulary.as_ref().filter(|_| plan.makes == Folder::Checkpoint) {
            output::set_tokenizer(&opened.sources, &mut extras, donor, vocabulary)?;
        }
        if let Some(chosen) = &plan.chat_template
            && let Some(template) = output::template(&opened.sources, chosen, &plan.models)?
        {
            output::set_template(&opened.sources, &mut extras, &template)?;
        }
        let names: Vec<_> = opened.recipe.models.iter().map(ModelRef::name).collect();
        let provenance = Provenance {
            braid: env!("CARGO_PKG_VERSION"),
            plan: &opened.record.plan,
            method: plan.method.name(),
            seed: opened.spec.seed,
            models: names.iter().map(AsRef::as_ref).collect(),
            recipe: &opened.spec.recipe,
        };
        let made_of = (0..plan.tensors.len()).map(|index| self.made_of(index)).collect::<Result<Vec<_>, _>>()?;
        let manifest = output::manifest(&provenance, &shapes, records, made_of)?;
        let inputs = opened.checkpoints.iter().map(identities).collect::<Result<_, _>>()?;
        let card = output::card(&provenance, opened.recipe.base, &output::digest(&shapes, records).to_string());
        let mut text =
            |name: &str, text: String| extras.push(Extra { name: name.into(), content: Content::Text(text.into_bytes()) });
        if plan.makes == Folder::Checkpoint {
            text("config.json", output::pretty(&plan.config)?);
        }
        for (name, value) in self.report(records)? {
            text(&name, value);
        }
        text("README.md", card);
        if let Some(index) = opened.layout.index(&shapes) {
            text("model.safetensors.index.json", index);
        }
        text(output::MANIFEST, manifest);
        extras.push(Extra { name: INPUTS.into(), content: Content::Dated(write_inputs(inputs)?.into_bytes(), begun) });
        Ok(extras)
    }

    /// What the manifest says that tensor `index` is made of.
    fn made_of(&self, index: usize) -> Result<MadeOf<'_>, MergeError> {
        let (tensor, _) = self.tensor(index)?;
        let inputs = tensor.sources.iter().map(|source| (source.model, source.tensor.as_str())).collect();
        Ok(MadeOf { part: part(self.opened, index, &self.answers)?, inputs })
    }

    /// The files in which a method that makes tensors together says what it made of them.
    fn report(&self, records: &[Record]) -> Result<Vec<(String, String)>, MergeError> {
        let Opened { plan, recipe, checkpoints, .. } = self.opened;
        let (Some(joint), Some(donor)) = (plan.method.joint(), checkpoints.get(plan.donor)) else { return Ok(Vec::new()) };
        let base = recipe.base.and_then(|base| recipe.models.get(base)).map(|model| model.path.as_str());
        let notes = records.iter().filter_map(|record| record.note.as_ref()).collect();
        let report = Report { config: &donor.config, base, tensors: &plan.tensors, notes };
        let write = |(name, value): (String, Value)| {
            let text = serde_json::to_string_pretty(&value);
            let text = text.map_err(|error| MergeError::Task(format!("cannot write {name}: {error}")))?;
            Ok((name, text + "\n"))
        };
        joint.report(&report).into_iter().map(write).collect()
    }
}
