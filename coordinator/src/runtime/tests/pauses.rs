//! A coordinator that stands still, because its machine does or somebody stops it. All of a test runs on one thread, which sleeps.

use super::*;

/// Nobody could be heard meanwhile, so nobody was silent: what workers have goes on, as it does after a restart.
#[tokio::test]
async fn whoever_stood_still_takes_nobody_for_lost() {
    let options = options("memory:".parse().unwrap());
    let lease = options.lease;
    let running = start(options).await.unwrap();
    running.submit(1, "a").await.unwrap();
    let mut worker = Worker::join(&running, hello("n1")).await.unwrap();
    let run = worker.run().await;
    std::thread::sleep(2 * lease);
    // It looks at its leases before anybody is heard.
    tokio::time::sleep(lease / 4).await;
    let held = vec![v1::Held { task: run.task, attempt: run.attempt, lease: run.lease }];
    let mut again = Worker::join(&running, v1::Hello { held, ..hello("n1") }).await.unwrap();
    match again.next().await {
        Some(to_worker::Message::Welcome(welcome)) => assert_eq!(welcome.drop, [], "it goes on with what it has"),
        other => panic!("a session begins with Welcome, not {other:?}"),
    }
    again.finish(&run).await;
    assert_eq!(ended(&running, 1).await.state(), JobState::Done);

    // One that does not come back is lost all the same.
    running.submit(1, "b").await.unwrap();
    again.run().await;
    std::thread::sleep(2 * lease);
    drop((worker, again));
    let lost = async {
        while running.get(2).await.tasks_waiting == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(lease + Duration::from_secs(1), lost).await.expect("a lease later it is lost");
    running.stop().await;
}
