//! Reads the settings, does what the command says, ends with 0, 1 (failed) or 2 (wrong usage or settings).

use std::process::ExitCode;

use senpai_md_consumer::config::{self, BenchArgs, Command, DemoArgs, FeedArgs, LogArgs, ReplayArgs, Settings};
use senpai_md_consumer::drivers::service::{engine_settings, shard_settings};
use senpai_md_consumer::drivers::{bench, demo, feed, replay, service};

fn main() -> ExitCode {
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.report(),
    };
    let done: Result<(), String> = match cli.command {
        Command::Run(settings) => run(*settings),
        Command::Demo(args) => demo(*args),
        Command::Feed(args) => feed(args),
        Command::Replay(args) => replay(*args),
        Command::Bench(args) => bench(*args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("error: {line}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(log: &LogArgs) {
    // It fails only when a logger is set already, and this is the first.
    let _ = simple_logger::SimpleLogger::new().with_level(log.log_level).with_utc_timestamps().init();
}

fn run(settings: Settings) -> Result<(), String> {
    start_log(&settings.log);
    let Settings { nats, subjects, cores, engine, http, .. } = settings;
    let shards = shard_settings(nats.nats_url.0, &nats.nats_name, &subjects, &cores, &engine);
    service::run(shards, &http)
}

fn demo(args: DemoArgs) -> Result<(), String> {
    start_log(&args.log);
    demo::run(args)
}

fn replay(args: ReplayArgs) -> Result<(), String> {
    start_log(&args.log);
    let settings = engine_settings(&args.subjects, &args.engine);
    replay::replay(
        &args.file,
        args.strict,
        &args.subjects.symbols,
        settings,
        std::io::stdout().lock(),
        std::io::stderr(),
    )
    .map(drop)
}

fn feed(args: FeedArgs) -> Result<(), String> {
    start_log(&args.log);
    feed::run(&args)
}

fn bench(args: BenchArgs) -> Result<(), String> {
    start_log(&args.log);
    let settings = engine_settings(&args.subjects, &args.engine);
    let report = bench::bench(
        &args.file,
        args.duration_ns,
        args.cores,
        &args.subjects.symbols,
        args.engine.queue_bytes,
        settings,
    )?;
    println!("{report}");
    Ok(())
}
