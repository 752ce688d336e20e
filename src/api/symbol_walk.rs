//! All symbols of all shards in the order of their names, a page at a time: each shard's pages are in order, and the
//! smallest name of those that are at hand is the next.
//!
//! A walk takes many turns, and symbols come meanwhile: one whose name is behind the walk is left out of it, none is there
//! twice.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::vec;

use async_channel::bounded;

use crate::service::report::{PAGE_SYMBOLS, SymbolReport};
use crate::service::requests::{ShardHandle, ShardRequest};

/// A walk over the symbols of all shards: see the head of this file.
pub struct SymbolWalk {
    shards: Vec<ShardPages>,
    /// One of each shard that has any left.
    next: BinaryHeap<Reverse<Next>>,
    has_begun: bool,
}

struct ShardPages {
    shard: ShardHandle,
    page: vec::IntoIter<SymbolReport>,
    is_last_page: bool,
}

struct Next {
    symbol: SymbolReport,
    shard: usize,
}

impl SymbolWalk {
    /// From the first symbol on.
    pub fn new(shards: &[ShardHandle]) -> SymbolWalk {
        let shards = shards.iter().map(|shard| ShardPages {
            shard: shard.clone(),
            page: Vec::new().into_iter(),
            is_last_page: false,
        });
        SymbolWalk { shards: shards.collect(), next: BinaryHeap::new(), has_begun: false }
    }

    /// The next symbols, [`PAGE_SYMBOLS`] at most; none: that was all.
    pub async fn next_page(&mut self) -> Vec<SymbolReport> {
        if !self.has_begun {
            self.has_begun = true;
            for shard in 0..self.shards.len() {
                self.advance(shard, None).await;
            }
        }
        let mut symbols = Vec::with_capacity(PAGE_SYMBOLS);
        while symbols.len() < PAGE_SYMBOLS
            && let Some(Reverse(Next { symbol, shard })) = self.next.pop()
        {
            // A further page takes a turn: what is there is returned before.
            let is_page_over = self.shards[shard].page.len() == 0 && !self.shards[shard].is_last_page;
            self.advance(shard, Some(&symbol)).await;
            symbols.push(symbol);
            if is_page_over {
                break;
            }
        }
        symbols
    }

    /// Puts the shard's symbol after `last` into the heap.
    async fn advance(&mut self, index: usize, last: Option<&SymbolReport>) {
        let pages = &mut self.shards[index];
        if pages.page.len() == 0 && !pages.is_last_page {
            let (reply, answer) = bounded(1);
            pages.shard.send(ShardRequest::Symbols(last.map(|symbol| symbol.name.clone()), reply)).await;
            // A shard that has ended has no symbols any more.
            let page = answer.recv().await.unwrap_or_default();
            pages.is_last_page = page.len() < PAGE_SYMBOLS;
            pages.page = page.into_iter();
        }
        self.next.extend(pages.page.next().map(|symbol| Reverse(Next { symbol, shard: index })));
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Next) -> Ordering {
        self.symbol.name.cmp(&other.symbol.name)
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}
