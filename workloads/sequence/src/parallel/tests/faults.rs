//! What goes wrong on one rank is an error on all that wait for it, in time.

use std::{
    thread,
    time::{Duration, Instant},
};

use braid_kernels::attention::{Documents, LinearAttention, Mixer, SlidingWindow, Softmax, SoftmaxHeads};
use braid_workload::{Exchange, ExchangeError, exchange::ScanMethod};

use super::{
    super::{Layout, ParallelError, SequenceGroup, Shard},
    ranks::on_ranks,
};

const RANKS: usize = 4;
const TOKENS: usize = 40;
const METHODS: [ScanMethod; 2] = [ScanMethod::Gather, ScanMethod::LogStep];

fn layout() -> Layout {
    Layout::balanced(Documents::one(TOKENS), RANKS)
}

/// One forward pass of a rank over ones.
fn forward(exchange: &dyn Exchange, layout: &Layout, mixer: &dyn Mixer<f64>, method: ScanMethod) -> Result<(), ParallelError> {
    let group = SequenceGroup::new(exchange, layout)?.with_method(method);
    let tokens = layout.own(group.rank()).len();
    let inputs: Vec<Vec<f64>> = mixer.inputs().iter().map(|tensor| vec![1.0; tokens * tensor.width]).collect();
    group.forward(mixer, &Shard { inputs: inputs.iter().map(Vec::as_slice).collect(), params: vec![] }).map(drop)
}

/// All ranks but `odd` run `program`, and it runs `other`.
fn with_one_odd(
    odd: usize,
    program: impl Fn(&dyn Exchange) -> Result<(), ParallelError> + Sync,
    other: impl Fn(&dyn Exchange) -> Result<(), ParallelError> + Sync,
) -> Vec<Result<(), ParallelError>> {
    on_ranks(RANKS, |exchange| if exchange.rank() == odd { other(&*exchange) } else { program(&*exchange) })
}

/// In a scan forward no rank hears of higher ones; but it cannot go past a call that waits for them.
fn and_meet(exchange: &dyn Exchange, end: Result<(), ParallelError>) -> Result<(), ParallelError> {
    end.and_then(|()| Ok(exchange.barrier()?))
}

#[test]
fn states_of_different_shapes_are_an_error_on_all_ranks() {
    let layout = layout();
    for method in METHODS {
        let run = |heads| {
            let layout = &layout;
            move |exchange: &dyn Exchange| {
                let end = forward(exchange, layout, &LinearAttention::new(heads, 4, 4), method);
                if method == ScanMethod::Gather { end } else { and_meet(exchange, end) }
            }
        };
        for end in with_one_odd(2, run(2), run(3)) {
            assert!(matches!(end, Err(ParallelError::Exchange(ExchangeError::Mismatch { .. }))), "{method:?}: {end:?}");
        }
    }
}

#[test]
fn halos_of_different_widths_are_an_error_on_the_ranks_that_meet_them() {
    let layout = layout();
    let run = |width| {
        let layout = &layout;
        let mixer = SlidingWindow { heads: SoftmaxHeads::equal(1, width, 2), window: 15 };
        move |exchange: &dyn Exchange| forward(exchange, layout, &mixer, ScanMethod::Gather)
    };
    let ends = with_one_odd(2, run(2), run(3));
    for rank in [2, 3] {
        assert!(matches!(ends[rank], Err(ParallelError::Exchange(ExchangeError::Mismatch { .. }))), "{:?}", ends[rank]);
    }
}

#[test]
fn a_tensor_of_the_wrong_length_is_named_and_ends_the_others_calls() {
    let layout = layout();
    let mixer = LinearAttention::new(1, 2, 2);
    let short = |exchange: &dyn Exchange| {
        let group = SequenceGroup::new(exchange, &layout)?;
        let (full, short) = ([1.0; 20], [1.0; 19]);
        group.forward(&mixer, &Shard { inputs: vec![&full, &short, &full], params: vec![] }).map(drop)
    };
    let ends = with_one_odd(1, |exchange| forward(exchange, &layout, &mixer, ScanMethod::Gather), short);
    let own = ends[1].clone().unwrap_err();
    assert_eq!(own.to_string(), "rank 1, linear attention: k has 19 elements where 20 are expected");
    for rank in [0, 2, 3] {
        let aborted = ExchangeError::Aborted { rank: 1, reason: own.to_string() };
        assert_eq!(ends[rank], Err(ParallelError::Exchange(aborted)));
    }
    let missing = |exchange: &dyn Exchange| {
        SequenceGroup::new(exchange, &layout)?.forward(&mixer, &Shard { inputs: vec![&[1.0; 20]], params: vec![] }).map(drop)
    };
    let ends = with_one_odd(1, |exchange| forward(exchange, &layout, &mixer, ScanMethod::Gather), missing);
    assert_eq!(ends[1].clone().unwrap_err().to_string(), "rank 1, linear attention: 1 inputs where it reads 3");
}

#[test]
fn a_rank_that_dies_in_a_layer_is_an_error_on_the_others_at_once() {
    let layout = layout();
    let softmax = Softmax { heads: SoftmaxHeads::equal(1, 2, 2) };
    let ones = [1.0; 20];
    let shard = Shard { inputs: vec![&ones[..]; 3], params: vec![] };
    let lost = |end: &Result<(), ParallelError>| matches!(end, Err(ParallelError::Exchange(ExchangeError::Lost { rank: 3, .. })));
    for method in METHODS {
        let started = Instant::now();
        let run =
            |exchange: &dyn Exchange| and_meet(exchange, forward(exchange, &layout, &LinearAttention::new(1, 2, 2), method));
        let ends = with_one_odd(3, run, |_| Ok(()));
        assert!(ends[..3].iter().all(lost), "{method:?}: {ends:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    let attend = |exchange: &dyn Exchange| SequenceGroup::new(exchange, &layout)?.forward_gathered(&softmax, &shard).map(drop);
    let ends = with_one_odd(3, attend, |_| Ok(()));
    assert!(ends[..3].iter().all(lost), "{ends:?}");
}

#[test]
fn a_rank_that_hangs_is_an_error_on_the_others_within_the_deadline() {
    let layout = layout();
    for method in METHODS {
        let run = |exchange: &dyn Exchange| {
            exchange.set_timeout(Duration::from_millis(100));
            forward(exchange, &layout, &LinearAttention::new(1, 2, 2), method)
        };
        let hang = |exchange: &dyn Exchange| {
            while exchange.failure().is_none() {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        };
        let ends = with_one_odd(0, run, hang);
        let late = |end: &Result<(), _>| matches!(end, Err(ParallelError::Exchange(ExchangeError::Deadline { .. })));
        assert!(ends[1..].iter().all(late), "{method:?}: {ends:?}");
    }
}

#[test]
fn a_gradient_of_the_wrong_length_is_an_error() {
    let layout = Layout::balanced(Documents::one(4), 1);
    let (mixer, ones) = (LinearAttention::new(1, 1, 1), [1.0; 4]);
    let ends = on_ranks(1, |exchange| {
        let group = SequenceGroup::new(&*exchange, &layout).unwrap();
        let shard = Shard { inputs: vec![&ones[..]; 3], params: vec![] };
        let kept = group.forward(&mixer, &shard).unwrap().kept;
        group.backward(&mixer, &shard, &kept, &ones[..3]).unwrap_err().to_string()
    });
    assert_eq!(ends, ["rank 0, linear attention: the gradient of the output has 3 elements where 4 are expected"]);
}

#[test]
fn layouts_have_to_be_of_the_group_and_alike() {
    let (documents, other) = (Documents::of_lengths([10, 30]), Documents::of_lengths([11, 29]));
    let ends = on_ranks(RANKS, |exchange| {
        let layout = Layout::balanced(if exchange.rank() == 2 { other.clone() } else { documents.clone() }, RANKS);
        SequenceGroup::new(&*exchange, &layout)?.agree()
    });
    assert_eq!(ends, vec![Err(ParallelError::Layouts { rank: 2 }); RANKS]);
    let alike = on_ranks(RANKS, |exchange| SequenceGroup::new(&*exchange, &layout())?.agree());
    assert_eq!(alike, vec![Ok(()); RANKS]);
    let of_two = Layout::balanced(documents, 2);
    let ends = on_ranks(1, |exchange| SequenceGroup::new(&*exchange, &of_two).map(drop));
    assert_eq!(ends, [Err(ParallelError::GroupSize { layout: 2, group: 1 })]);
}
