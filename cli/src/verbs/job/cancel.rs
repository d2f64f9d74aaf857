//! `braid job cancel`: asks for the end of a job.

use crate::{
    client::{Client, JobRef},
    console::Console,
    error::Result,
    output::state_word,
    verbs::for_each,
    wire::ReachArgs,
};

/// Cancel jobs; what they have written stays for a resume
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// The jobs' numbers, or `last`
    #[arg(required = true)]
    ids: Vec<JobRef>,
    #[command(flatten)]
    coordinator: ReachArgs,
}

pub(super) async fn run(args: CancelArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    for_each(args.ids, console, async |id| {
        let job = client.cancel(client.resolve(id).await?).await?;
        console.note(&format!("job {} is {}", job.id, state_word(job.state())));
        Ok(())
    })
    .await
}
