//! How many small writes a second pass through the writer.

use super::fixture::Fixture;
use crate::store::{Fence, Op, Writer};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) async fn many_small_writes(fixture: &mut impl Fixture) {
    const WRITES: u32 = 20_000;
    let store = fixture.store();
    let writer = Writer::spawn(store.clone(), Fence::claim(&*store).await.unwrap(), CancellationToken::new());
    let begun = Instant::now();
    for n in 0..WRITES {
        writer.submit(vec![Op::put(format!("task/1/{n}"), vec![b'x'; 200])], |_| {}).await.unwrap();
    }
    writer.write(vec![]).await.unwrap();
    let rate = f64::from(WRITES) / begun.elapsed().as_secs_f64();
    println!("{rate:.0} writes/s");
    // Without optimisation it is the compiler's figure, not the store's.
    assert!(cfg!(debug_assertions) || rate >= fixture.writes_per_second(), "{rate:.0} writes/s");
    assert_eq!(store.list("task/1/").await.unwrap().records.len(), WRITES as usize);
}
