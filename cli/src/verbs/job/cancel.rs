//! `braid job cancel`: asks for the end of a job.

use crate::{
    client::{Client, JobRef},
    console::Console,
    error::Result,
    output::state_word,
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
    for id in args.ids {
        let job = client.cancel(client.resolve(id).await?).await?;
        console.note(&format!("job {} is {}", job.id, state_word(job.state())));
    }
    Ok(())
}
