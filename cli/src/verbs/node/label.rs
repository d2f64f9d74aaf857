//! `braid node label`: what operators call a node.

use crate::{client::Client, console::Console, error::Result, wire::ReachArgs};
use braid_proto::v1::change_node_request::{Change, Label};

/// Change the labels of a node
#[derive(Debug, clap::Args)]
pub(crate) struct LabelArgs {
    /// Name of the node, as `braid node ls` prints it
    #[arg(value_name = "NODE")]
    name: String,
    /// NAME=VALUE sets one, NAME- takes it away
    #[arg(value_name = "LABEL", required = true, value_parser = label)]
    labels: Vec<(String, Option<String>)>,
    #[command(flatten)]
    coordinator: ReachArgs,
}

fn label(text: &str) -> std::result::Result<(String, Option<String>), String> {
    let change = match (text.split_once('='), text.strip_suffix('-')) {
        (Some((name, value)), _) => Some((name, Some(value.to_owned()))),
        (None, Some(name)) => Some((name, None)),
        (None, None) => None,
    };
    match change {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value)),
        _ => Err("not NAME=VALUE, nor NAME- to take a label away".into()),
    }
}

pub(super) async fn run(args: LabelArgs, console: &Console) -> Result {
    let client = Client::connect(&args.coordinator).await?;
    let mut change = Label::default();
    for (name, value) in args.labels {
        match value {
            Some(value) => {
                change.set.insert(name, value);
            }
            None => change.remove.push(name),
        }
    }
    let node = client.change_node(&args.name, Change::Label(change)).await?;
    let mut labels: Vec<_> = node.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.sort();
    console.note(&format!("node {}: {}", args.name, if labels.is_empty() { "no labels".into() } else { labels.join(" ") }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_set_or_taken_away() {
        let set = |name: &str, value: &str| Ok((name.to_owned(), Some(value.to_owned())));
        assert_eq!(label("rack=7"), set("rack", "7"));
        assert_eq!(label("a=b=c-"), set("a", "b=c-"));
        assert_eq!(label("a="), set("a", ""));
        assert_eq!(label("rack-"), Ok(("rack".into(), None)));
        for text in ["", "rack", "=7", "-"] {
            assert!(label(text).is_err(), "{text}");
        }
    }
}
