//! Bodies of responses that are made part by part, while they are sent: a document over all symbols is never whole in memory.

use futures_lite::stream;

use crate::http::response::Parts;

/// A body that is made part by part.
pub trait PartByPart: Sized + 'static {
    /// The next part; `None` after the last.
    async fn next(&mut self) -> Option<Vec<u8>>;

    /// The body as HTTP sends it.
    fn in_parts(self) -> Parts {
        Box::pin(stream::unfold(self, |mut document| async move { Some((document.next().await?, document)) }))
    }
}
