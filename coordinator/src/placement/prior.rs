//! What a node that has finished nothing yet is taken for: what its worker measured, in the measure of what others that were
//! measured too have achieved since. A first guess; the first finished task replaces it.

use super::Candidate;

/// Gives a rate to those that have none and were measured.
pub(crate) fn fill(nodes: &mut [Candidate]) {
    let measured = |node: &Candidate| node.offer.measured.as_ref()?.streaming();
    let ratios: Vec<f64> = nodes.iter().filter_map(|node| Some(node.rate? / measured(node)?)).collect();
    // Where none has done anything, only how nodes compare matters.
    let scale = if ratios.is_empty() { 1.0 } else { ratios.iter().sum::<f64>() / ratios.len() as f64 };
    for node in nodes.iter_mut().filter(|node| node.rate.is_none()) {
        node.rate = measured(node).map(|measured| measured * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Inventory, Measured};
    use std::sync::Arc;

    fn node(rate: Option<f64>, measured: Option<u64>) -> Candidate {
        let measured =
            measured.map(|rate| Measured { disk_read: Some(rate), disk_write: Some(rate), ..Measured::default() }.into());
        Candidate { offer: Arc::new(Inventory { measured, ..Inventory::default() }), rate, ..Candidate::default() }
    }

    fn filled(mut nodes: Vec<Candidate>) -> Vec<Option<f64>> {
        fill(&mut nodes);
        nodes.iter().map(|node| node.rate).collect()
    }

    #[test]
    fn nodes_that_have_done_nothing_compare_as_they_were_measured() {
        assert_eq!(
            filled(vec![node(None, Some(400)), node(None, Some(100)), node(None, None)]),
            [Some(400.0), Some(100.0), None]
        );
        // The first achieves half of what its disk can do: so will the second, it is thought.
        let nodes = vec![node(Some(50.0), Some(100)), node(None, Some(400)), node(None, None), node(Some(7.0), None)];
        assert_eq!(filled(nodes), [Some(50.0), Some(200.0), None, Some(7.0)]);
    }
}
