//! Three nodes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Operator, STREAM};
use crate::stage::{LIMIT, Report, Stage, Stream};
use crate::support::nats_server::{NatsServer, Release, unused_port};
use crate::support::{holds, within};

const NODES: usize = 3;

struct Cluster {
    nodes: Vec<NatsServer>,
}

impl Cluster {
    /// Its nodes know each other, and JetStream has a leader.
    fn start(release: Release) -> Cluster {
        let ports: Vec<u16> = (0..NODES).map(|_| unused_port()).collect();
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let configuration = |node: usize| {
            format!(
                "server_name: node{node}\nserver_tags: [\"node{node}\"]\n\
                 jetstream {{ store_dir: \"store\", max_mem: 1GB, max_file: 1GB }}\n\
                 cluster {{ name: three, listen: \"127.0.0.1:{}\", routes: [{}] }}",
                ports[node],
                routes.join(", ")
            )
        };
        let nodes = (0..NODES).map(|node| NatsServer::start_with(release, &configuration(node))).collect();
        let cluster = Cluster { nodes };
        within(LIMIT * 2, "the cluster has a leader", || {
            let report = cluster.nodes[0].report("/jsz");
            let meta = &report["meta_cluster"];
            let is_whole =
                meta["cluster_size"] == NODES && meta["leader"].as_str().is_some_and(|name| !name.is_empty());
            holds(is_whole, meta)
        });
        cluster
    }

    fn operator(&self) -> Operator {
        Operator::new(self.nodes[0].port())
    }
}

fn leader(operator: &Operator) -> String {
    operator.info(&json!({}))["cluster"]["leader"].as_str().unwrap_or_default().to_owned()
}

/// The stream's leader is asked to step down, again and again.
pub fn another_leader(release: Release) -> Result<Report, &'static str> {
    let cluster = Cluster::start(release);
    let operator = cluster.operator();
    operator.make_stream(&json!({ "num_replicas": 3, "storage": "file" }));
    let url = cluster.nodes[0].url();
    let mut stage = Stage::start(&url, cluster.nodes[0].port(), &[]);
    let mut leaders = vec![leader(&operator)];
    for _ in 0..2 {
        let before = leader(&operator);
        operator.must(&format!("STREAM.LEADER.STEPDOWN.{STREAM}"), &Value::Null);
        within(LIMIT, "another leader", || {
            let now = leader(&operator);
            holds(!now.is_empty() && now != before, now.clone()).map(|()| leaders.push(now))
        });
        stage.wait_recovered(Instant::now());
    }
    let mut report = stage.settle(Stream::Kept);
    report.note = format!("leaders: {}", leaders.join(", "));
    Ok(report)
}

/// The service is connected to another node all the time.
pub fn the_only_server_of_a_stream_restarts(release: Release) -> Result<Report, &'static str> {
    let mut cluster = Cluster::start(release);
    let operator = cluster.operator();
    operator.make_stream(&json!({
        "num_replicas": 1, "storage": "file", "placement": { "cluster": "three", "tags": ["node2"] },
    }));
    assert_eq!(leader(&operator), "node2");
    let url = cluster.nodes[0].url();
    let mut stage = Stage::start(&url, cluster.nodes[0].port(), &["--nats-discover=false"]);
    cluster.nodes[2].kill();
    stage.wait_trouble(&["MD_EVENTS"]);
    stage.wait_alert("");
    let back = cluster.nodes[2].start_again();
    stage.wait_recovered(back);
    assert_eq!(stage.service.stats()["reconnects"], 0, "its own server has lived on");
    let report = stage.settle(Stream::Lost);
    assert_eq!(report.missed, 0, "{report:?}");
    Ok(report)
}
