//! What a start says about its settings, once there is a log to say it in.

/// Nothing in it is secret.
#[derive(Debug, Default)]
pub struct Notes {
    /// Names that are no settings, one line each.
    pub warnings: Vec<String>,
    /// `NAME value (from where)` for each setting that differs from its default.
    pub changed: Vec<String>,
}

impl Notes {
    /// A line each.
    pub fn log_warnings(&self) {
        self.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    }

    /// All in one line.
    pub fn log_settings(&self) {
        match self.changed.is_empty() {
            true => log::info!("settings: all have their defaults"),
            false => log::info!("settings that differ from their defaults: {}", self.changed.join(", ")),
        }
    }
}
