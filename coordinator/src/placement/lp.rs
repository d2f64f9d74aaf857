//! Placement by a linear program: a plan for all that waits, and of it what nodes have room for now.
//!
//! What a runtime does in two steps (greedy at once, the plan when it is there), in one: for tests, simulations and replays.

use super::{
    Decision, Guide, Placer, Problem, hand_out, plan,
    program::{Budget, Effort},
};

/// The placer by LP.
#[derive(Debug, Clone, Copy)]
pub struct Lp {
    /// How much each decision may do.
    pub effort: Effort,
}

impl Default for Lp {
    fn default() -> Self {
        Self { effort: Effort::QUICK }
    }
}

impl Placer for Lp {
    fn place(&mut self, problem: &Problem) -> Decision {
        // Nobody cancels it; without a plan the answer would be the greedy one.
        let plan = plan(problem, self.effort, Budget::new(self.effort.work)).unwrap_or_default();
        hand_out(problem, &mut Guide::from(plan))
    }
}
