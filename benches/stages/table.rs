//! What was measured, as a table.

use crate::live_path::Source;
use crate::{KINDS, READ_BYTES, live_name};

/// One line of measurement, an event's share.
#[derive(Clone)]
pub struct Figures {
    pub name: String,
    pub events: u64,
    pub ns: f64,
    pub instructions: Option<f64>,
}

pub fn print_table(figures: &[Figures]) {
    let of = |name: &str| figures.iter().find(|row| row.name == name).expect("a stage of that name").clone();
    let difference = |name: String, whole: &str, part: &str| {
        let (whole, part) = (of(whole), of(part));
        let instructions = whole.instructions.zip(part.instructions).map(|(whole, part)| whole - part);
        Figures { name, events: whole.events, ns: whole.ns - part.ns, instructions }
    };
    let mut rows = vec![of("frame")];
    rows.extend(KINDS.map(|kind| of(&format!("decode {}", kind.name()))));
    rows.extend(KINDS.map(|kind| {
        let name = kind.name();
        difference(format!("apply {name}"), &format!("handle {name}"), &format!("decode {name}"))
    }));
    rows.push(difference("rules, every condition asked".into(), "all, rules asked", "all, no snapshot"));
    rows.push(difference("features, a snapshot".into(), "all, snapshots left", "all, no snapshot"));
    rows.push(difference("encode, a snapshot".into(), "all, snapshots taken", "all, snapshots left"));
    rows.push(of("whole path, snapshots at 10 Hz"));

    println!("{:<36}{:>9}{:>9}{:>14}", "stage, an event", "events", "ns", "instructions");
    for Figures { name, events, ns, instructions } in rows {
        let instructions = instructions.map_or("-".into(), |count| format!("{count:.0}"));
        println!("{name:<36}{events:>9}{ns:>9.1}{instructions:>14}");
    }
    println!();
    println!("{:<36}{:>9}{:>9}{:>14}{:>14}", "as it comes, an event", "ns", "ratio", "instructions", "ratio");
    for read_bytes in READ_BYTES {
        let core = of(&live_name(Source::Core, read_bytes));
        for source in [Source::Core, Source::JetStream] {
            let Figures { name, ns, instructions, .. } = of(&live_name(source, read_bytes));
            let ratio =
                instructions.zip(core.instructions).map_or("-".into(), |(one, core)| format!("{:.2}", one / core));
            let instructions = instructions.map_or("-".into(), |count| format!("{count:.0}"));
            println!("{name:<36}{ns:>9.1}{:>9.2}{instructions:>14}{ratio:>14}", ns / core.ns);
        }
    }
    println!();
    println!("{:<36}{:>9}{:>9}{:>14}", "whole path, an event", "ns", "ns", "instructions");
    for [small, large] in [["window of 100 trades", "window of 10000 trades"], ["2 symbols", "10000 symbols"]] {
        let (few, many) = (of(small), of(large));
        let counts = few.instructions.zip(many.instructions);
        let instructions = counts.map_or("-".into(), |(few, many)| format!("x {:.2}", many / few));
        let ratio = format!("{:.0} = {:.0} x {:.2}", many.ns, few.ns, many.ns / few.ns);
        println!("{:<36}{ratio:>18}{instructions:>14}", format!("{large} : {small}"));
    }
}
