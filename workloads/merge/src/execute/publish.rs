//! The last task: makes sure that every tensor is there, adds all other files, and gives the result its name.

use super::Job;
use crate::{
    MergeError,
    methods::Folder,
    output::{self, Content, Extra, INPUTS, MadeOf, Provenance, Record, Staged, Staging},
    recipe::ModelRef,
    reuse::part,
    step::{Published, Taken},
};
use serde_json::Value;
use std::collections::BTreeMap;

impl Job<'_> {
    /// Turns what was made into the result.
    pub(super) fn publish(&self) -> Result<Published, MergeError> {
        let opened = self.opened;
        let mut published = Published {
            out: opened.output.out().display().to_string(),
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
        // Opened before a flush is asked how it went: in a folder that another merge has replaced it may have found nothing.
        let Staged::Open(staging) = self.staged()? else { return Ok(published) };
        let kept: Vec<usize> = match &staging {
            Staging::Folder(staging) => opened.kept(staging, self.boot)?.keys().copied().collect(),
            Staging::Prefix(staging) => self.kept_in_prefix(staging)?,
        };
        published.reused_tensors = kept.len();
        published.reused_bytes =
            kept.iter().filter_map(|&index| opened.plan.tensors.get(index)).map(|t| t.bytes_in() + t.bytes_out()).sum();
        let (records, repaired) = match &staging {
            Staging::Folder(staging) => self.complete_folder(staging)?,
            Staging::Prefix(staging) => self.complete_prefix(staging)?,
        };
        let records = self.of_all(records)?;
        published.repaired_tensors = repaired;
        published.taken = opened.previous.as_ref().map(|previous| {
            let taken: Vec<&Record> = records.iter().filter(|record| record.taken).collect();
            let bytes = taken.iter().filter_map(|record| opened.plan.tensors.get(record.tensor)).map(|t| t.bytes_out()).sum();
            Taken { tensors: taken.len(), bytes, from: previous.checkpoint.root.display().to_string() }
        });
        let shapes = opened.shapes();
        published.digest = Some(output::digest(&shapes, &records).to_string());
        let mut extras = self.extras(&records)?;
        let content = Content::Dated(opened.input_files()?.into_bytes(), staging.begun()?);
        extras.push(Extra { name: INPUTS.into(), content });
        match staging {
            Staging::Folder(staging) => output::publish(staging, &opened.layout, &extras)?,
            Staging::Prefix(staging) => staging.publish(&extras, self.upload_memory(), &|| self.context.is_cancelled())?,
        }
        self.remove_stages();
        Ok(published)
    }

    /// The records in the order of the tensors, of which none may be missing.
    fn of_all(&self, records: BTreeMap<usize, Record>) -> Result<Vec<Record>, MergeError> {
        let count = self.opened.plan.tensors.len();
        match records.len() == count {
            true => Ok(records.into_values().collect()),
            false => Err(MergeError::Task(format!("{} of {count} tensors have been merged", records.len()))),
        }
    }

    /// All files of the result but the shards and [`INPUTS`].
    fn extras(&self, records: &[Record]) -> Result<Vec<Extra>, MergeError> {
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
        let Some(joint) = self.opened.plan.method.joint() else { return Ok(Vec::new()) };
        let report = self.opened.report(records.iter().filter_map(|record| record.note.as_ref()).collect())?;
        let write = |(name, value): (String, Value)| {
            let text = serde_json::to_string_pretty(&value);
            let text = text.map_err(|error| MergeError::Task(format!("cannot write {name}: {error}")))?;
            Ok((name, text + "\n"))
        };
        joint.report(&report).into_iter().map(write).collect()
    }
}
