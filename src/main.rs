//! Reads the settings, does what the command says, ends with 0, 1 (failed) or 2 (wrong usage or settings).

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use senpai_md_consumer::commands::run::{engine_settings, worker_settings};
use senpai_md_consumer::commands::{bench, check, demo, feed, generate, record, replay, run};
use senpai_md_consumer::config::{
    self, BenchArgs, CheckArgs, Command, DemoArgs, Exit, FeedArgs, GenerateArgs, Notes, RecordArgs, ReplayArgs,
    Settings,
};
use senpai_md_consumer::http::server::resolve;
use senpai_md_consumer::nats::credentials::Access;
use senpai_md_consumer::runtime::log_text::plain;
use senpai_md_consumer::runtime::{kernel, logging, signals};

fn main() -> ExitCode {
    kernel::keep_one_heap();
    signals::ignore_file_size_limit();
    let mut flush_limit = logging::REPORT_FLUSH;
    let done = logging::start().map_err(|error| End::Failed(error.into())).and_then(|()| obey(&mut flush_limit));
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            let (line, code) = match end {
                End::Told => (None, 1),
                End::Failed(line) => (Some(line), 1),
                End::Refused(line) => (Some(line), 2),
            };
            line.iter().for_each(|line| logging::report_failure(line));
            ExitCode::from(code)
        }
    };
    logging::flush(flush_limit);
    code
}

/// Does what the command line says. `flush_limit` is for what standard error has not taken by then.
fn obey(flush_limit: &mut Duration) -> Result<(), End> {
    let args: Vec<_> = std::env::args_os().collect();
    let is_check = args.get(1).is_some_and(|command| command == "check");
    let (cli, notes) = match config::parse(args) {
        Ok(parsed) => parsed,
        // It is what is checked.
        Err(Exit::Refused(line)) if is_check => {
            check::refused_settings(&line, std::io::stdout())?;
            return Err(End::Told);
        }
        Err(Exit::Misused(line) | Exit::Refused(line)) => return Err(End::Refused(line)),
        Err(Exit::Told(help)) => {
            // The reader may have gone (`--help | head -1`): nothing is left to be done about that.
            let _ = help.print();
            return Ok(());
        }
    };
    if matches!(cli.command, Command::Run(_) | Command::Demo(_)) {
        *flush_limit = logging::SERVICE_FLUSH;
    }
    match cli.command {
        Command::Run(settings) => run(*settings, &notes),
        Command::Demo(args) => demo(*args, &notes),
        Command::Feed(args) => feed(*args, &notes),
        Command::Replay(args) => replay(*args, &notes),
        Command::Generate(args) => generate(&args, &notes),
        Command::Bench(args) => bench(*args, &notes),
        Command::Record(args) => record(*args, &notes),
        Command::Check(args) => check(*args, &notes),
    }
}

/// Why a command has not done what it should; the text is one line.
enum End {
    /// What its report says already.
    Told,
    Failed(String),
    /// A setting names a file that is of no use.
    Refused(String),
}

impl From<String> for End {
    fn from(line: String) -> End {
        End::Failed(line)
    }
}

fn run(settings: Settings, notes: &Notes) -> Result<(), End> {
    logging::enable(&settings.log);
    let Settings { nats, jetstream, subjects, cores, engine, http, .. } = settings;
    let access = Access::new(nats).map_err(|error| End::Refused(error.to_string()))?;
    resolve(&http.http_host, http.http_port).map_err(|error| End::Refused(error.to_string()))?;
    notes.log_warnings();
    notes.log_settings();
    let shards = worker_settings(
        access,
        Some(&jetstream).filter(|jetstream| jetstream.use_jetstream),
        &subjects,
        &cores,
        &engine,
    );
    Ok(run::run(shards, &http)?)
}

fn demo(args: DemoArgs, notes: &Notes) -> Result<(), End> {
    logging::enable(&args.log);
    resolve(&args.http.http_host, args.http.http_port).map_err(|error| End::Refused(error.to_string()))?;
    notes.log_warnings();
    notes.log_settings();
    Ok(demo::run(args)?)
}

fn replay(args: ReplayArgs, notes: &Notes) -> Result<(), End> {
    logging::enable(&args.log);
    notes.log_warnings();
    let settings = engine_settings(&args.subjects, &args.engine);
    replay::replay(
        &args.file,
        args.strict,
        &args.subjects.symbols,
        settings,
        std::io::stdout().lock(),
        logging::Report::default(),
    )?;
    Ok(())
}

fn feed(args: FeedArgs, notes: &Notes) -> Result<(), End> {
    logging::enable(&args.log);
    let access = Access::new(args.nats.clone()).map(Arc::new).map_err(|error| End::Refused(error.to_string()))?;
    notes.log_warnings();
    notes.log_settings();
    Ok(feed::run(&args, &access)?)
}

fn generate(args: &GenerateArgs, notes: &Notes) -> Result<(), End> {
    logging::enable(&args.log);
    notes.log_warnings();
    Ok(generate::run(args)?)
}

fn bench(args: BenchArgs, notes: &Notes) -> Result<(), End> {
    logging::enable(&args.log);
    notes.log_warnings();
    bench::check_cores(args.cores).map_err(End::Refused)?;
    let settings = engine_settings(&args.subjects, &args.engine);
    let report = bench::bench(
        &args.file,
        args.duration_ns,
        args.cores,
        &args.subjects.symbols,
        args.engine.queue_bytes,
        settings,
        logging::Report::default(),
    )?;
    writeln!(std::io::stdout(), "{report}").map_err(|error| format!("cannot write the report: {}", plain(&error)))?;
    Ok(())
}

fn record(args: RecordArgs, notes: &Notes) -> Result<(), End> {
    logging::enable(&args.log);
    let access = Access::new(args.nats.clone()).map(Arc::new).map_err(|error| End::Refused(error.to_string()))?;
    notes.log_warnings();
    notes.log_settings();
    Ok(record::run(&args, &access)?)
}

fn check(args: CheckArgs, notes: &Notes) -> Result<(), End> {
    let CheckArgs { health, print, settings } = args;
    logging::enable(&settings.log);
    let mut out = std::io::stdout();
    if !health && !print {
        return if check::check(settings, notes, out)? { Ok(()) } else { Err(End::Told) };
    }
    notes.log_warnings();
    if print {
        check::print(notes, &mut out)?;
    }
    if health {
        let address = check::health(&settings.http).map_err(|error| error.to_string())?;
        writeln!(out, "ok    http://{address}/health answers 200")
            .map_err(|error| format!("cannot write the report: {}", plain(&error)))?;
    }
    Ok(())
}
