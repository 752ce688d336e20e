//! Reads the settings, does what the command says, ends with 0, 1 (failed) or 2 (wrong usage or settings).

use std::process::ExitCode;

use senpai_md_consumer::config::{self, BenchArgs, Command, DemoArgs, FeedArgs, LogArgs, ReplayArgs, Settings};
use senpai_md_consumer::drivers::access::Access;
use senpai_md_consumer::drivers::service::{engine_settings, shard_settings};
use senpai_md_consumer::drivers::{bench, demo, feed, kernel, replay, service, signals};

fn main() -> ExitCode {
    kernel::keep_one_heap();
    signals::ignore_file_size_limit();
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.report(),
    };
    let done = match cli.command {
        Command::Run(settings) => run(*settings),
        Command::Demo(args) => demo(*args),
        Command::Feed(args) => feed(*args),
        Command::Replay(args) => replay(*args),
        Command::Bench(args) => bench(*args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            let (line, code) = match end {
                End::Failed(line) => (line, 1),
                End::Refused(line) => (line, 2),
            };
            eprintln!("error: {line}");
            ExitCode::from(code)
        }
    }
}

/// Why a command has not done what it should; each is one line.
enum End {
    Failed(String),
    /// A setting names a file that is of no use.
    Refused(String),
}

impl From<String> for End {
    fn from(line: String) -> End {
        End::Failed(line)
    }
}

fn start_log(log: &LogArgs) {
    // A bug of ours is said as what it is; what it ends is up to where it happens.
    std::panic::set_hook(Box::new(|bug| {
        let place = bug.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
        log::error!("internal error{place}: {}", bug.payload_as_str().unwrap_or("no text"));
    }));
    // It fails only when a logger is set already, and this is the first.
    let _ = simple_logger::SimpleLogger::new().with_level(log.log_level).with_utc_timestamps().init();
}

fn run(settings: Settings) -> Result<(), End> {
    start_log(&settings.log);
    let Settings { nats, subjects, cores, engine, http, .. } = settings;
    let access = Access::new(nats).map_err(End::Refused)?;
    let shards = shard_settings(access, &subjects, &cores, &engine);
    Ok(service::run(shards, &http)?)
}

fn demo(args: DemoArgs) -> Result<(), End> {
    start_log(&args.log);
    Ok(demo::run(args)?)
}

fn replay(args: ReplayArgs) -> Result<(), End> {
    start_log(&args.log);
    let settings = engine_settings(&args.subjects, &args.engine);
    replay::replay(
        &args.file,
        args.strict,
        &args.subjects.symbols,
        settings,
        std::io::stdout().lock(),
        std::io::stderr(),
    )?;
    Ok(())
}

fn feed(args: FeedArgs) -> Result<(), End> {
    start_log(&args.log);
    let access = Access::new(args.nats.clone()).map_err(End::Refused)?;
    Ok(feed::run(&args, &access)?)
}

fn bench(args: BenchArgs) -> Result<(), End> {
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
