//! The reports of all shards.

use async_channel::bounded;
use smallvec::SmallVec;

use crate::service::report::ShardReport;
use crate::service::requests::{ShardHandle, ShardRequest};

/// The answers of so many cores are waited for without an allocation.
const FEW_CORES: usize = 4;

/// All shards are asked at once; each has its report, also one that has ended.
pub async fn reports(shards: &[ShardHandle]) -> Vec<ShardReport> {
    let mut answers = SmallVec::<[_; FEW_CORES]>::with_capacity(shards.len());
    for shard in shards {
        let (reply, answer) = bounded(1);
        // Where the shard has ended the answer's channel closes.
        shard.send(ShardRequest::Report(reply)).await;
        answers.push(answer);
    }
    let mut reports = Vec::with_capacity(answers.len());
    for (core, answer) in (0..).zip(answers) {
        reports.push(answer.recv().await.unwrap_or_else(|_| ShardReport::missing(core)));
    }
    reports
}
