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
    /// Its nodes know each other, and JetStream's leader has all of them behind it. Short of CPU, nodes of 2.10 may begin without one of
    /// them, for good: then another cluster is begun.
    fn start(release: Release) -> Cluster {
        let (mut cluster, mut begun) = (Cluster::begin(release), Instant::now());
        within(6 * LIMIT, "the cluster is whole", || {
            if begun.elapsed() > LIMIT {
                (cluster, begun) = (Cluster::begin(release), Instant::now());
            }
            cluster.check_whole()
        });
        cluster
    }

    fn begin(release: Release) -> Cluster {
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
        Cluster { nodes: (0..NODES).map(|node| NatsServer::start_with(release, &configuration(node))).collect() }
    }

    /// As the leader sees it; what is missing otherwise.
    fn check_whole(&self) -> Result<(), String> {
        let reports = self.nodes.iter().map(|node| node.report("/jsz")["meta_cluster"].take());
        let mut leading = reports.enumerate().filter(|(node, meta)| meta["leader"] == format!("node{node}"));
        let (_, meta) = leading.next().ok_or("no node leads")?;
        let followers = meta["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        let current = followers.iter().filter(|follower| follower["current"] == true && follower["offline"] != true);
        holds(meta["cluster_size"] == NODES && current.count() == NODES - 1, &meta)
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
