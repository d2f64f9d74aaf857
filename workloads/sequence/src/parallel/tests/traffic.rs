//! What travels: nothing on one rank or between documents, and states of the same size whatever the length.

use braid_kernels::attention::{Documents, Gathered, LinearAttention, Mixer, Softmax, SoftmaxHeads, Tensor};
use braid_workload::exchange::ScanMethod;

use super::{
    super::{Layout, Metered, SequenceGroup, Shard},
    families::{gathered, mixers},
    ranks::on_ranks,
};

fn zeros(tensors: &[Tensor], rows: usize) -> Vec<Vec<f32>> {
    tensors.iter().map(|tensor| vec![0.0; rows * tensor.width]).collect()
}

fn slices(tensors: &[Vec<f32>]) -> Vec<&[f32]> {
    tensors.iter().map(Vec::as_slice).collect()
}

/// Calls of each rank and bytes that reach it in a pass forward and one backward.
fn of_mixer(mixer: &dyn Mixer<f32>, layout: &Layout, method: Option<ScanMethod>) -> Vec<(u64, u64)> {
    on_ranks(layout.ranks(), |exchange| {
        let metered = Metered::new(exchange);
        let group = SequenceGroup::new(&metered, layout).unwrap();
        let group = method.map_or(group, |method| group.with_method(method));
        let tokens = layout.own(group.rank()).len();
        let (inputs, params) = (zeros(&mixer.inputs(), tokens), zeros(&mixer.params(), 1));
        let shard = Shard { inputs: slices(&inputs), params: slices(&params) };
        let mixed = group.forward(mixer, &shard).unwrap();
        group.backward(mixer, &shard, &mixed.kept, &vec![0.0; tokens * mixer.output_width()]).unwrap();
        (metered.traffic().calls(), metered.traffic().received())
    })
}

fn of_gathered(family: &dyn Gathered<f32>, layout: &Layout) -> Vec<(u64, u64)> {
    on_ranks(layout.ranks(), |exchange| {
        let metered = Metered::new(exchange);
        let group = SequenceGroup::new(&metered, layout).unwrap();
        let tokens = layout.own(group.rank()).len();
        let (inputs, params) = (zeros(&family.inputs(), tokens), zeros(&family.params(), 1));
        let shard = Shard { inputs: slices(&inputs), params: slices(&params) };
        let attended = group.forward_gathered(family, &shard).unwrap();
        group.backward_gathered(family, &shard, &attended.kept, &vec![0.0; tokens * family.output_width()]).unwrap();
        (metered.traffic().calls(), metered.traffic().received())
    })
}

#[test]
fn one_rank_calls_nobody() {
    let layout = Layout::balanced(Documents::of_lengths([9, 20]), 1);
    for family in mixers::<f32>() {
        assert_eq!(of_mixer(&*family.layer, &layout, None), [(0, 0)], "{}", family.layer.name());
    }
    for family in gathered::<f32>() {
        assert_eq!(of_gathered(&*family.layer, &layout), [(0, 0)], "{}", family.layer.name());
    }
}

#[test]
fn ranks_with_whole_documents_send_no_states_and_no_keys() {
    let layout = Layout::of_lengths(Documents::of_lengths([9, 20, 5]), &[9, 0, 25, 0]).unwrap();
    assert_eq!(of_mixer(&LinearAttention::new(1, 4, 4), &layout, None), [(0, 0); 4]);
    let softmax = Softmax { heads: SoftmaxHeads::equal(1, 4, 4) };
    assert!(of_gathered(&softmax, &layout).iter().all(|&(_, received)| received == 0));
}

#[test]
fn states_take_as_many_bytes_for_any_length() {
    const MAP: u64 = 2 * (1 + 4 * 3) * 4;
    let mixer = LinearAttention::new(2, 4, 3);
    for tokens in [16, 160, 1600] {
        let layout = Layout::balanced(Documents::one(tokens), 8);
        // Seven maps each way; who holds one of them has six to get. One call a pass.
        let gathered = of_mixer(&mixer, &layout, Some(ScanMethod::Gather));
        assert_eq!(
            gathered,
            [(2, 13 * MAP); 1].iter().chain(&[(2, 12 * MAP); 6]).chain(&[(2, 13 * MAP)]).copied().collect::<Vec<_>>()
        );
        // Rank r has min(3, bits of r) ranks to hear of on the way there, and as many from the other end on the way back.
        let scanned = of_mixer(&mixer, &layout, Some(ScanMethod::LogStep));
        let steps = |ranks_before: u64| u64::from(u64::BITS - ranks_before.leading_zeros());
        let expected: Vec<_> = (0..8).map(|rank| (6, (steps(rank) + steps(7 - rank)) * MAP)).collect();
        assert_eq!(scanned, expected);
    }
}

#[test]
fn keys_go_only_to_ranks_that_share_the_document() {
    const PAIR: u64 = (4 + 4) * 4;
    let softmax = Softmax { heads: SoftmaxHeads::equal(1, 4, 4) };
    // Documents 0..20 on ranks 0 and 1, 20..50 on 1, 2 and 3.
    let layout = Layout::of_lengths(Documents::of_lengths([20, 30]), &[15, 10, 20, 5]).unwrap();
    let received: Vec<_> = of_gathered(&softmax, &layout).iter().map(|traffic| traffic.1).collect();
    // Forward the partners' tokens; backward its own from each partner.
    let expected = [10 + 15, 15 + 20 + 5 + 3 * 10, 10 + 5 + 2 * 20, 10 + 20 + 2 * 5].map(|tokens: u64| tokens * PAIR);
    assert_eq!(received, expected);
}
