//! The first task: everything that can be wrong is found here, and what an interrupted run has done is found again.

use super::{Job, tensors::check_claims};
use crate::{
    MergeError,
    groups::whole_groups,
    output::{Staged, Staging},
    step::Planned,
};

impl Job<'_> {
    /// Makes the staging folder and shares out the work.
    pub(super) fn plan(&self) -> Result<Planned, MergeError> {
        let (opened, memory) = (self.opened, self.opened.tile_bytes().max(self.opened.piece_bytes()));
        if memory > self.context.memory / 2 {
            let (needed, given) = (memory.saturating_mul(2), self.context.memory);
            return Err(MergeError::Memory { needed, given });
        }
        let moved = |index: usize| opened.plan.tensors.get(index).map_or(0, |tensor| tensor.bytes_in() + tensor.bytes_out());
        let count = opened.plan.tensors.len();
        let bytes = (0..count).map(moved).sum();
        let mut planned = Planned {
            plan: opened.record.plan.clone(),
            published: false,
            tensors: count,
            bytes,
            reused_tensors: 0,
            reused_bytes: 0,
            memory: memory.saturating_mul(2),
            groups: Vec::new(),
        };
        // A flush of an earlier job may still write into the folder that is about to be checked.
        self.flusher.finish()?;
        let Staged::Open(staging) = Staging::prepare(&opened.folder, &opened.record, &opened.layout)? else {
            return Ok(Planned { published: true, ..planned });
        };
        let mut claims = staging.claims(self.boot, "")?;
        if !claims.is_empty() {
            self.context.log(format!("checking {} tensors that an interrupted run has written", claims.len()));
        }
        claims.values_mut().for_each(|claim| claim.trusted = false);
        let kept = check_claims(self, &staging, claims)?;
        staging.keep(&kept, self.boot)?;
        planned.reused_tensors = kept.len();
        planned.reused_bytes = kept.keys().map(|&index| moved(index)).sum();
        let pending: Vec<_> = (0..count).map(|index| (!kept.contains_key(&index)).then(|| moved(index))).collect();
        planned.groups = whole_groups(&pending, &opened.pieces());
        if !kept.is_empty() {
            self.context.progress.add_reused(planned.reused_bytes);
            self.context.log(format!("{} of {count} tensors are there from an interrupted run", kept.len()));
        }
        Ok(planned)
    }
}
