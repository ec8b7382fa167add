//! `glintd`: arguments, logging, exit codes.

mod daemon;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use glint::event::Kind;
use glint::model::{ENGINE_VARIABLE, Engine};
use glint::pipeline::{Models, Options, Pipeline, Purpose};

use daemon::commands::media::{Ending, print_line};
use daemon::commands::summary::Account;
use daemon::config::ConfigError;
use daemon::sources::footage::Selection;

#[global_allocator]
static ALLOCATOR: daemon::commands::allocations::Counting = daemon::commands::allocations::Counting;

/// Exit code of a bad configuration, model file or digest (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// Watches a face and publishes each micro-expression as an MQTT event.
#[derive(Parser)]
#[command(name = "glintd", disable_version_flag = true)]
struct Cli {
    /// Print the version and the digest of each model.
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: camera, clip or synthetic subject in, MQTT events out.
    #[command(after_help = "Example: glintd run --config /etc/glint/glint.toml\n\n\
        Signals: TERM and INT stop (a second one exits at once), HUP reads the configuration again, \
        USR1 pauses and closes the camera, USR2 resumes.")]
    Run(ConfigArgs),
    /// Show the whole chain on the synthetic subject, with a broker of its own.
    #[cfg(feature = "demo")]
    #[command(after_help = "Example: glintd demo --aus 12 --intensity 0.2 --fps 100")]
    Demo(daemon::commands::demo::DemoArgs),
    /// Validate a configuration and print the effective one.
    #[command(after_help = "Example: glintd check --config /etc/glint/glint.toml")]
    Check(ConfigArgs),
    /// Run the pipeline over a clip and print one event a line.
    #[command(after_help = "Example: glintd replay talk.mp4 --purpose research --from 60 --to 90\n\n\
        AVI (MJPEG or raw frames), Y4M and folders of images are read without further programs, everything else by \
        ffmpeg, if it is installed.")]
    Replay(ReplayArgs),
    /// Write a row of measurements per frame of a clip, and a plot.
    #[command(after_help = "Example: glintd inspect talk.avi --csv talk.csv --plot talk.png")]
    Inspect(InspectArgs),
    /// Put known movements into a clip of the site and count how many are found: how well would glint see here?
    #[command(after_help = "Example: glintd selftest kiosk.avi --seed 1")]
    Selftest(SelftestArgs),
    /// List the cameras, their modes and the one that glint would choose; --watch helps to aim one.
    #[command(after_help = "Example: glintd cameras --watch /dev/video0")]
    Cameras(CamerasArgs),
    /// Measure time, memory and allocations of each stage.
    #[command(after_help = "Example: glintd bench talk.avi --json")]
    Bench(BenchArgs),
}

#[derive(clap::Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(clap::Args)]
struct ReplayArgs {
    /// A video, an address as rtsp://..., a folder of numbered images, or - for Y4M on standard input.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Let the frames come at the clip's own speed.
    #[arg(long)]
    pace: bool,
    /// Why class words may be given.
    #[arg(long, value_enum)]
    purpose: Option<PurposeArg>,
    /// Kinds of movement to print [default: those of the configuration, or micro].
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<KindArg>,
    /// Device, models, thresholds and purpose from a configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Publish the events too, by the configuration's broker and outbox.
    #[arg(long, requires = "config")]
    mqtt: bool,
    #[command(flatten)]
    account: AccountArgs,
}

/// What `replay` and `inspect` say beside their results.
#[derive(clap::Args)]
struct AccountArgs {
    /// Write a line of JSON for each candidate, published or not: its times, AUs, verdict, cause and score.
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// The closing line on stderr as one JSON object.
    #[arg(long)]
    json: bool,
}

impl AccountArgs {
    fn account(&self) -> anyhow::Result<Account> {
        Account::new(self.explain.as_deref(), self.json)
    }
}

#[derive(clap::Args)]
struct InspectArgs {
    /// A video, an address as rtsp://..., a folder of numbered images, or - for Y4M on standard input.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// The table to write; - for standard output.
    #[arg(long)]
    csv: PathBuf,
    /// A picture of the AU traces with the events shaded.
    #[arg(long)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    account: AccountArgs,
}

#[derive(clap::Args)]
struct SelftestArgs {
    /// A clip, as `replay` takes it: half a minute or more of a person who sits where people will sit.
    clip: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// Chooses movements and times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The clip is watched so often, with other movements each time.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct CamerasArgs {
    /// The camera to watch; the first one without it.
    #[arg(requires = "watch")]
    path: Option<PathBuf>,
    /// Print, live, what aiming needs.
    #[arg(long)]
    watch: bool,
    /// JSON on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct BenchArgs {
    /// A clip; without one, --models.
    #[arg(required_unless_present = "models", conflicts_with = "models")]
    clip: Option<PathBuf>,
    /// Time each network instead.
    #[arg(long)]
    models: bool,
    #[command(flatten)]
    selection: Selection,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum PurposeArg {
    Research,
    Clinical,
    Accessibility,
    Demonstration,
}

impl From<PurposeArg> for Purpose {
    fn from(p: PurposeArg) -> Self {
        match p {
            PurposeArg::Research => Self::Research,
            PurposeArg::Clinical => Self::Clinical,
            PurposeArg::Accessibility => Self::Accessibility,
            PurposeArg::Demonstration => Self::Demonstration,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    Micro,
    Macro,
    Blink,
}

impl From<KindArg> for Kind {
    fn from(k: KindArg) -> Self {
        match k {
            KindArg::Micro => Self::Micro,
            KindArg::Macro => Self::Macro,
            KindArg::Blink => Self::Blink,
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    if let Err(reason) = choose_engine() {
        eprintln!("glintd: {reason}");
        return ExitCode::from(EX_CONFIG);
    }
    let Some(command) = cli.command else { return version() };
    let done = match command {
        Command::Run(args) => daemon::commands::run::run(&args.config).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "demo")]
        Command::Demo(args) => daemon::commands::demo::run(&args),
        Command::Check(args) => check(&args),
        Command::Replay(args) => replay(&args),
        Command::Inspect(args) => inspect(&args),
        Command::Selftest(args) => selftest(&args),
        Command::Cameras(args) => cameras(args),
        Command::Bench(args) => bench(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // A configuration error is FILE:LINE:COL: ..., which editors and scripts read.
            if error.is::<ConfigError>() {
                eprintln!("{error}");
                return ExitCode::from(EX_CONFIG);
            }
            eprintln!("glintd: {error:#}");
            let config =
                error.is::<glint::model::ModelError>() || error.is::<glint::pipeline::PipelineError>();
            if config { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// Lets the environment force what runs the quantized networks.
fn choose_engine() -> Result<(), String> {
    let Ok(name) = std::env::var(ENGINE_VARIABLE) else { return Ok(()) };
    let engine: Engine = name.parse()?;
    engine.force().map_err(|other| format!("{ENGINE_VARIABLE}: {other:?} is in use already"))
}

/// Logs go to the journal under systemd, else to stderr; `RUST_LOG` chooses what.
fn start_logging() {
    use std::io::IsTerminal;
    use tracing_subscriber::prelude::*;
    // The demo's broker reports every client that leaves as an error.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,glint=info,glintd=info,rumqttd=off"));
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let stderr = journal.is_none().then(|| {
        let terminal = std::io::stderr().is_terminal();
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal)
    });
    tracing_subscriber::registry().with(filter).with(journal).with(stderr).init();
}

fn version() -> ExitCode {
    println!("glintd {}", env!("CARGO_PKG_VERSION"));
    match Models::embedded() {
        Ok(models) => {
            models.digests().iter().for_each(|(name, digest)| println!("{name} sha256:{digest}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("glintd: {error}");
            ExitCode::from(EX_CONFIG)
        }
    }
}

/// The exit code of a clip's ending.
fn ended(ending: Ending) -> anyhow::Result<ExitCode> {
    match ending {
        Ending::Complete => Ok(ExitCode::SUCCESS),
        Ending::Failed(error) => Err(error),
    }
}

fn check(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    print!("{}", daemon::runtime::memory::load(&args.config, None)?.0.to_toml());
    Ok(ExitCode::SUCCESS)
}

fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let load = |path| daemon::runtime::memory::load(path, None).map(|(config, _)| config);
    let config = args.config.as_deref().map(load).transpose()?;
    let device = config.as_ref().map_or_else(|| "replay".to_owned(), |c| c.device.id().to_owned());
    let (mut options, models) = match &config {
        Some(config) => (daemon::runtime::setup::options(config)?, daemon::runtime::setup::models(config)?),
        None => (Options::default(), Models::embedded()?),
    };
    if let Some(purpose) = args.purpose {
        options.purpose = Some(purpose.into());
    }
    if !args.kinds.is_empty() {
        options.kinds = args.kinds.iter().map(|&k| k.into()).collect();
    }
    let mut pipeline = Pipeline::new(options, &models)?;
    let publisher = match &config {
        Some(config) if args.mqtt => Some(daemon::runtime::publish::Publisher::start(config)?),
        _ => None,
    };
    let account = args.account.account()?;
    let ending = daemon::commands::replay::run(
        &args.clip,
        args.selection,
        args.pace,
        &device,
        &mut pipeline,
        account,
        |event| {
            if let Some(publisher) = &publisher {
                publisher.publish(event);
            }
            print_line(&event.to_json())
        },
    )?;
    if let Some(publisher) = publisher {
        publisher.finish()?;
    }
    ended(ending)
}

fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let options = Options { kinds: vec![Kind::Micro, Kind::Macro, Kind::Blink], ..Options::default() };
    let mut pipeline = Pipeline::new(options, &Models::embedded()?)?;
    let account = args.account.account()?;
    let plot = args.plot.as_deref();
    ended(daemon::commands::inspect::run(
        &args.clip,
        args.selection,
        &args.csv,
        plot,
        &mut pipeline,
        account,
    )?)
}

fn selftest(args: &SelftestArgs) -> anyhow::Result<ExitCode> {
    let models = Models::embedded()?;
    daemon::commands::selftest::run(&args.clip, args.selection, args.seed, args.rounds, &models, args.json)?;
    Ok(ExitCode::SUCCESS)
}

fn cameras(args: CamerasArgs) -> anyhow::Result<ExitCode> {
    if args.watch {
        daemon::commands::cameras::watch(args.path, &Models::embedded()?, args.json)
    } else {
        daemon::commands::cameras::list(args.json)
    }
}

fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let models = Models::embedded()?;
    let options = Options { purpose: Some(Purpose::Research), ..Options::default() };
    match &args.clip {
        Some(clip) => daemon::commands::bench::clip(clip, args.selection, &models, options, args.json)?,
        None => daemon::commands::bench_models::run(&models, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}
