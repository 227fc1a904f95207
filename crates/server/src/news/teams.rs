//! What becomes of teams: in the log, and to the receiver of webhooks under the same name.

use paygate_core::key::record::number_value;
use paygate_core::key::team::Team;
use paygate_core::usage::audit::{AuditEventType, mask_key};
use serde_json::{Value, json};

use super::News;

/// Who makes and changes teams.
const ADMIN: &str = "admin";

impl News {
    /// A team was made.
    pub(crate) fn team_created(&self, team: &Team) {
        let metadata = json!({"teamId": team.id, "teamName": team.name, "budget": number_value(team.budget)});
        self.team(AuditEventType::TeamCreated, format!("Team created: {}", team.name), metadata);
    }

    /// A team was changed.
    pub(crate) fn team_updated(&self, id: &str) {
        self.team(AuditEventType::TeamUpdated, format!("Team updated: {id}"), json!({"teamId": id}));
    }

    /// A team was deleted.
    pub(crate) fn team_deleted(&self, id: &str) {
        self.team(AuditEventType::TeamDeleted, format!("Team deleted: {id}"), json!({"teamId": id}));
    }

    /// A key joined a team.
    pub(crate) fn team_key_assigned(&self, id: &str, key: &str) {
        let metadata = json!({"teamId": id, "keyMasked": mask_key(key)});
        self.team(AuditEventType::TeamKeyAssigned, format!("Key assigned to team {id}"), metadata);
    }

    /// A key left a team.
    pub(crate) fn team_key_removed(&self, id: &str, key: &str) {
        let metadata = json!({"teamId": id, "keyMasked": mask_key(key)});
        self.team(AuditEventType::TeamKeyRemoved, format!("Key removed from team {id}"), metadata);
    }

    fn team(&self, kind: AuditEventType, message: String, metadata: Value) {
        let Value::Object(metadata) = metadata else { unreachable!("an object was written") };
        self.log_and_tell(kind, ADMIN, message, &metadata);
    }
}
