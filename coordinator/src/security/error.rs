//! What can go wrong when somebody asks for a right, or the CA is set up.

use super::{nodes::NodeError, tokens::TokenError};
use crate::store::StoreError;
use tonic::Status;

/// Why a right is not given, or cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A key or certificate cannot be made or read.
    #[error("certificates: {0}")]
    Certificate(String),
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers for a secret: {0}")]
    NoSecret(String),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It did not answer.
    #[error("the store did not answer in time")]
    Away,
    /// Others changed the same records again and again.
    #[error("the records are being changed by others; try again")]
    Contended,
    /// A token does not do.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A node may not join.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A request for a certificate cannot be read or is not signed by its key.
    #[error("the request for a certificate does not do: {0}")]
    Request(String),
    /// No such token.
    #[error("there is no token {0}, or there are several that begin so")]
    NoSuchToken(String),
    /// No such node.
    #[error("no node {0} has joined")]
    NoSuchNode(String),
}

impl From<SecurityError> for Status {
    fn from(error: SecurityError) -> Self {
        let text = error.to_string();
        match error {
            SecurityError::Token(TokenError::Unfit(_)) | SecurityError::Request(_) | SecurityError::Node(NodeError::Name) => {
                Self::invalid_argument(text)
            }
            SecurityError::Token(_) => Self::unauthenticated(text),
            SecurityError::Node(NodeError::Taken(_)) => Self::already_exists(text),
            SecurityError::NoSuchToken(_) | SecurityError::NoSuchNode(_) => Self::not_found(text),
            SecurityError::Store(_) | SecurityError::Away | SecurityError::Contended => Self::unavailable(text),
            SecurityError::Certificate(_) | SecurityError::NoSecret(_) => Self::internal(text),
        }
    }
}
