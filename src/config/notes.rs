//! What a start says about its settings, once there is a log to say it in.

use std::fmt;

/// Nothing in it is secret.
#[derive(Debug, Default)]
pub struct Notes {
    /// Names that are no settings, one line each.
    pub warnings: Vec<String>,
    /// Every setting that the command takes.
    pub settings: Vec<InForce>,
}

/// A setting as it is in force.
#[derive(Debug)]
pub struct InForce {
    /// As in the environment.
    pub name: String,
    /// In quotes, and masked where it may be a secret; `None`: it is not set, and has no default.
    pub value: Option<String>,
    /// `--flag`, `the environment`, `.env` or `its default`.
    pub from: String,
    /// It has another value than its default.
    pub is_changed: bool,
}

impl Notes {
    /// A line each.
    pub fn log_warnings(&self) {
        self.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    }

    /// Those that differ from their defaults, in one line.
    pub fn log_settings(&self) {
        log::info!("{}", self.changed_settings());
    }

    /// `settings that differ from their defaults: NAME value (from where), …`
    pub fn changed_settings(&self) -> String {
        let changed = self.settings.iter().filter(|setting| setting.is_changed);
        let changed: Vec<String> = changed.map(InForce::to_string).collect();
        match changed.is_empty() {
            true => "settings: all have their defaults".to_owned(),
            false => format!("settings that differ from their defaults: {}", changed.join(", ")),
        }
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (from {})", self.name, self.value.as_deref().unwrap_or("-"), self.from)
    }
}
