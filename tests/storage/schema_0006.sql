-- A site of schema 0006 with one row a table, as sqlite3's iterdump gives it. Released: never change it.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
CREATE TABLE audit_log (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at_us BIGINT NOT NULL, 
	content VARCHAR, 
	content_digest BLOB NOT NULL, 
	digest BLOB NOT NULL, 
	erasure_id INTEGER, 
	CONSTRAINT fk_audit_log_erasure_id FOREIGN KEY(erasure_id) REFERENCES erasures (id)
);
INSERT INTO "audit_log" VALUES(1,1763640000000000,'{"action":"case","actor":"ada","reason":"report 12","subject":{"case":1,"what":"open"}}',X'45333E7A9ACDB4EF8433A4ACB5F4313FB6F45E308498D392425C6A844A6C3692',X'3C5E0A91DC7A1B9386BE13A4341AB700FAE2430C1F48E48ACDB83B90DB8C6EB4',NULL);
INSERT INTO "audit_log" VALUES(2,1763640000000000,'{"action":"case","actor":"ada","reason":"","subject":{"case":1,"identity":1,"what":"hold"}}',X'8C4D5EBD9EABF9162667824178D489720A1B284B55B12328509C8C842E908ED6',X'704D2947309274E52DFA8C01DA06FCC233869195C728F24DDD7FF52AC6745C98',NULL);
CREATE TABLE audit_seals (
	name VARCHAR NOT NULL, 
	entry_id INTEGER NOT NULL, 
	digest BLOB NOT NULL, 
	signature BLOB NOT NULL, 
	CONSTRAINT pk_audit_seals PRIMARY KEY (name), 
	CONSTRAINT ck_audit_seals_known CHECK (name = 'begin' OR name = 'end')
);
INSERT INTO "audit_seals" VALUES('end',2,X'704D2947309274E52DFA8C01DA06FCC233869195C728F24DDD7FF52AC6745C98',X'D67B0A371BCD6742F6DDEA17212E76948ACC6E810AE68836C8ECAC4FAB891451F681528D440BBDAFBDFDFDDBEE53A62FDD2126529CE92C0805BBD93D8C39FB0A');
CREATE TABLE calibrations (
	id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	first_camera_id INTEGER, 
	second_camera_id INTEGER, 
	one_camera BOOLEAN NOT NULL, 
	intercept DOUBLE NOT NULL, 
	slope DOUBLE NOT NULL, 
	share DOUBLE NOT NULL, 
	tracklets INTEGER NOT NULL, 
	pairs INTEGER NOT NULL, 
	fitted_us BIGINT NOT NULL, 
	CONSTRAINT pk_calibrations PRIMARY KEY (id), 
	CONSTRAINT fk_calibrations_model_id FOREIGN KEY(model_id) REFERENCES models (id), 
	CONSTRAINT fk_calibrations_first_camera_id FOREIGN KEY(first_camera_id) REFERENCES cameras (id), 
	CONSTRAINT fk_calibrations_second_camera_id FOREIGN KEY(second_camera_id) REFERENCES cameras (id), 
	CONSTRAINT uq_calibrations_model_id_first_camera_id_second_camera_id UNIQUE (model_id, first_camera_id, second_camera_id)
);
INSERT INTO "calibrations" VALUES(1,1,1,1,1,-11.5,18.75,0.0125,400,900,5000000);
CREATE TABLE camera_places (
	camera_id INTEGER NOT NULL, 
	x DOUBLE NOT NULL, 
	y DOUBLE NOT NULL, 
	CONSTRAINT pk_camera_places PRIMARY KEY (camera_id), 
	CONSTRAINT fk_camera_places_camera_id FOREIGN KEY(camera_id) REFERENCES cameras (id)
);
INSERT INTO "camera_places" VALUES(1,0.25,0.5);
CREATE TABLE cameras (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	next_number INTEGER NOT NULL, 
	CONSTRAINT uq_cameras_name UNIQUE (name)
);
INSERT INTO "cameras" VALUES(1,'hall',8);
CREATE TABLE case_holds (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	case_id INTEGER NOT NULL, 
	identity INTEGER, 
	camera_id INTEGER, 
	since_us BIGINT, 
	until_us BIGINT, 
	CONSTRAINT fk_case_holds_case_id FOREIGN KEY(case_id) REFERENCES cases (id), 
	CONSTRAINT fk_case_holds_identity FOREIGN KEY(identity) REFERENCES identities (id), 
	CONSTRAINT fk_case_holds_camera_id FOREIGN KEY(camera_id) REFERENCES cameras (id)
);
INSERT INTO "case_holds" VALUES(1,1,1,NULL,NULL,NULL);
CREATE TABLE cases (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	title VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	opened_us BIGINT NOT NULL, 
	opened_by VARCHAR NOT NULL, 
	closed_us BIGINT
);
INSERT INTO "cases" VALUES(1,'theft','report 12',1763640000000000,'ada',NULL);
CREATE TABLE clips (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	camera_id INTEGER NOT NULL, 
	first_us BIGINT NOT NULL, 
	last_us BIGINT NOT NULL, 
	path VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	CONSTRAINT fk_clips_camera_id FOREIGN KEY(camera_id) REFERENCES cameras (id), 
	CONSTRAINT uq_clips_path UNIQUE (path)
);
INSERT INTO "clips" VALUES(1,1,1763640000000000,1763640010000000,'clips/hall/2025-11-20/1763640000000000.mp4',5);
CREATE TABLE corpus_items (
	id INTEGER NOT NULL, 
	tracklet_id INTEGER NOT NULL, 
	time_us BIGINT NOT NULL, 
	shard_id INTEGER NOT NULL, 
	"offset" BIGINT NOT NULL, 
	length INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	quality DOUBLE NOT NULL, 
	digest BIGINT, 
	CONSTRAINT pk_corpus_items PRIMARY KEY (id), 
	CONSTRAINT fk_corpus_items_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES corpus_tracklets (id) ON DELETE CASCADE, 
	CONSTRAINT fk_corpus_items_shard_id FOREIGN KEY(shard_id) REFERENCES corpus_shards (id)
);
INSERT INTO "corpus_items" VALUES(1,1,4500000,1,0,4,48,128,0.75,NULL);
CREATE TABLE corpus_origins (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	camera_id INTEGER NOT NULL, 
	"key" VARCHAR NOT NULL, 
	start_us BIGINT NOT NULL, 
	frames INTEGER NOT NULL, 
	finished BOOLEAN NOT NULL, 
	CONSTRAINT fk_corpus_origins_camera_id FOREIGN KEY(camera_id) REFERENCES cameras (id), 
	CONSTRAINT uq_corpus_origins_key UNIQUE ("key")
);
INSERT INTO "corpus_origins" VALUES(1,1,'run 1 camera 1',4000000,0,0);
CREATE TABLE corpus_shards (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	day INTEGER NOT NULL, 
	bytes BIGINT NOT NULL, 
	gaps BOOLEAN NOT NULL
);
INSERT INTO "corpus_shards" VALUES(1,0,4,0);
CREATE TABLE corpus_tracklets (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	origin_id INTEGER NOT NULL, 
	tracklet_id INTEGER, 
	number INTEGER NOT NULL, 
	first_us BIGINT NOT NULL, 
	last_us BIGINT NOT NULL, 
	CONSTRAINT fk_corpus_tracklets_origin_id FOREIGN KEY(origin_id) REFERENCES corpus_origins (id), 
	CONSTRAINT fk_corpus_tracklets_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE SET NULL, 
	CONSTRAINT uq_corpus_tracklets_origin_id_number UNIQUE (origin_id, number), 
	CONSTRAINT uq_corpus_tracklets_tracklet_id UNIQUE (tracklet_id)
);
INSERT INTO "corpus_tracklets" VALUES(1,1,1,7,4000000,5000000);
CREATE TABLE crops (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	tracklet_id INTEGER NOT NULL, 
	frame INTEGER NOT NULL, 
	time_us BIGINT NOT NULL, 
	quality DOUBLE NOT NULL, 
	x1 DOUBLE NOT NULL, 
	y1 DOUBLE NOT NULL, 
	x2 DOUBLE NOT NULL, 
	y2 DOUBLE NOT NULL, 
	path VARCHAR NOT NULL, 
	bytes INTEGER NOT NULL, 
	CONSTRAINT fk_crops_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE CASCADE, 
	CONSTRAINT uq_crops_tracklet_id_frame UNIQUE (tracklet_id, frame)
);
INSERT INTO "crops" VALUES(1,1,25,2000000,0.5,1.0,2.0,3.0,4.0,'crops/hall/1970-01-01/7_25.jpg',3);
CREATE TABLE data_keys (
	camera_id INTEGER NOT NULL, 
	day INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	wrapped BLOB NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (camera_id, day, kind), 
	CONSTRAINT fk_data_keys_camera_id FOREIGN KEY(camera_id) REFERENCES cameras (id)
);
INSERT INTO "data_keys" VALUES(1,20412,'crops',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');
CREATE TABLE decision_tracklets (
	log_id INTEGER NOT NULL, 
	tracklet_id INTEGER NOT NULL, 
	same BOOLEAN NOT NULL, 
	CONSTRAINT pk_decision_tracklets PRIMARY KEY (log_id, tracklet_id), 
	CONSTRAINT fk_decision_tracklets_log_id FOREIGN KEY(log_id) REFERENCES identity_log (id), 
	CONSTRAINT fk_decision_tracklets_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE CASCADE
);
INSERT INTO "decision_tracklets" VALUES(4,1,1);
CREATE TABLE embeddings (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	tracklet_id INTEGER NOT NULL, 
	crop_id INTEGER, 
	model_id INTEGER NOT NULL, 
	quality DOUBLE NOT NULL, 
	time_us BIGINT NOT NULL, 
	vector BLOB NOT NULL, 
	CONSTRAINT fk_embeddings_crop_id FOREIGN KEY(crop_id) REFERENCES crops (id) ON DELETE SET NULL, 
	CONSTRAINT fk_embeddings_model_id FOREIGN KEY(model_id) REFERENCES models (id), 
	CONSTRAINT fk_embeddings_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE CASCADE
);
INSERT INTO "embeddings" VALUES(1,1,1,1,0.5,2000000,X'0000803F00000000');
CREATE TABLE erased_contents (
	digest BIGINT NOT NULL, 
	erasure_id INTEGER NOT NULL, 
	CONSTRAINT pk_erased_contents PRIMARY KEY (digest), 
	CONSTRAINT fk_erased_contents_erasure_id FOREIGN KEY(erasure_id) REFERENCES erasures (id)
);
INSERT INTO "erased_contents" VALUES(5,1);
CREATE TABLE erased_sources (
	source_id INTEGER NOT NULL, 
	erasure_id INTEGER NOT NULL, 
	CONSTRAINT pk_erased_sources PRIMARY KEY (source_id), 
	CONSTRAINT fk_erased_sources_source_id FOREIGN KEY(source_id) REFERENCES sources (id), 
	CONSTRAINT fk_erased_sources_erasure_id FOREIGN KEY(erasure_id) REFERENCES erasures (id)
);
INSERT INTO "erased_sources" VALUES(1,1);
CREATE TABLE erasures (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at_us BIGINT NOT NULL, 
	actor VARCHAR NOT NULL, 
	finished BOOLEAN NOT NULL, 
	"plan" JSON NOT NULL, 
	report JSON NOT NULL, 
	signature BLOB
);
INSERT INTO "erasures" VALUES(1,1763640000000000,'ada',1,'{}','{"erasure": 1}',X'00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');
CREATE TABLE floor_plan (
	id INTEGER NOT NULL, 
	picture BLOB NOT NULL, 
	changed_us BIGINT NOT NULL, 
	CONSTRAINT pk_floor_plan PRIMARY KEY (id), 
	CONSTRAINT ck_floor_plan_one_row CHECK (id = 1)
);
INSERT INTO "floor_plan" VALUES(1,X'89504E47',1763640000000000);
CREATE TABLE identities (
	id INTEGER NOT NULL, 
	opened_us BIGINT NOT NULL, 
	merged_into INTEGER, 
	vacant BOOLEAN NOT NULL, 
	CONSTRAINT pk_identities PRIMARY KEY (id), 
	CONSTRAINT fk_identities_merged_into FOREIGN KEY(merged_into) REFERENCES identities (id)
);
INSERT INTO "identities" VALUES(1,1000000,NULL,0);
INSERT INTO "identities" VALUES(2,1000000,1,0);
CREATE TABLE identity_log (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at_us BIGINT NOT NULL, 
	time_us BIGINT NOT NULL, 
	type VARCHAR NOT NULL, 
	identity INTEGER NOT NULL, 
	other INTEGER, 
	tracklet_id INTEGER, 
	probability DOUBLE, 
	evidence JSON NOT NULL, 
	actor VARCHAR NOT NULL, 
	CONSTRAINT fk_identity_log_identity FOREIGN KEY(identity) REFERENCES identities (id), 
	CONSTRAINT fk_identity_log_other FOREIGN KEY(other) REFERENCES identities (id), 
	CONSTRAINT fk_identity_log_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE SET NULL
);
INSERT INTO "identity_log" VALUES(1,3000000,2000000,'assign',1,NULL,1,0.9,'{"views": 3}','machine');
INSERT INTO "identity_log" VALUES(2,4000000,2000000,'merge',2,1,NULL,NULL,'{}','anna');
INSERT INTO "identity_log" VALUES(3,5000000,2000000,'undo',2,1,NULL,NULL,'{}','anna');
INSERT INTO "identity_log" VALUES(4,6000000,2000000,'merge',2,1,NULL,NULL,'{}','anna');
CREATE TABLE learning_runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	kind VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	started_us BIGINT NOT NULL, 
	ended_us BIGINT, 
	parent VARCHAR, 
	model VARCHAR, 
	promoted BOOLEAN NOT NULL, 
	reason VARCHAR, 
	seed BIGINT NOT NULL, 
	settings JSON NOT NULL, 
	figures JSON NOT NULL, 
	code VARCHAR NOT NULL
);
INSERT INTO "learning_runs" VALUES(1,'adapt','done',3000000,4000000,'aa','small-100',1,'better',7,'{"budget_s": 60.0}','{"steps": 40}','0.1.0');
CREATE TABLE login_sessions (
	digest BLOB NOT NULL, 
	user_id INTEGER NOT NULL, 
	created_us BIGINT NOT NULL, 
	seen_us BIGINT NOT NULL, 
	CONSTRAINT pk_login_sessions PRIMARY KEY (digest), 
	CONSTRAINT fk_login_sessions_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);
INSERT INTO "login_sessions" VALUES(X'0000000000000000000000000000000000000000000000000000000000000000',1,1763640000000000,1763640000000000);
CREATE TABLE models (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	hash VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	task VARCHAR NOT NULL, 
	licence VARCHAR NOT NULL, 
	CONSTRAINT uq_models_hash UNIQUE (hash)
);
INSERT INTO "models" VALUES(1,'aa','encoder','reid','MIT');
CREATE TABLE runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	started_us BIGINT NOT NULL, 
	ended_us BIGINT, 
	status VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	models JSON NOT NULL
);
INSERT INTO "runs" VALUES(1,1000000,9000000,'done','{"detector": {"min_confidence": 0.5}}','{"reid": "aa"}');
CREATE TABLE segments (
	id INTEGER NOT NULL, 
	tracklet_id INTEGER NOT NULL, 
	first_frame INTEGER NOT NULL, 
	last_frame INTEGER NOT NULL, 
	first_us BIGINT NOT NULL, 
	last_us BIGINT NOT NULL, 
	data BLOB NOT NULL, 
	CONSTRAINT pk_segments PRIMARY KEY (id), 
	CONSTRAINT fk_segments_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE CASCADE
);
INSERT INTO "segments" VALUES(1,1,25,25,2000000,2000000,X'190000000000803F0000004000004040000080400000003F80841E0000000000');
CREATE TABLE site (
	id INTEGER NOT NULL, 
	next_identity INTEGER NOT NULL, 
	CONSTRAINT pk_site PRIMARY KEY (id), 
	CONSTRAINT ck_site_one_row CHECK (id = 1)
);
INSERT INTO "site" VALUES(1,3);
CREATE TABLE sources (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	camera_id INTEGER NOT NULL, 
	location VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	live BOOLEAN NOT NULL, 
	start_us BIGINT NOT NULL, 
	frames_committed INTEGER NOT NULL, 
	finished BOOLEAN NOT NULL, 
	current BOOLEAN NOT NULL, 
	CONSTRAINT fk_sources_camera_id FOREIGN KEY(camera_id) REFERENCES cameras (id), 
	CONSTRAINT uq_sources_camera_id_fingerprint UNIQUE (camera_id, fingerprint)
);
INSERT INTO "sources" VALUES(1,1,'/recordings/hall.mp4','f1',0,1000000,25,1,1);
CREATE TABLE tracklets (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	camera_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	source_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	first_frame INTEGER NOT NULL, 
	last_frame INTEGER NOT NULL, 
	first_us BIGINT NOT NULL, 
	last_us BIGINT NOT NULL, 
	closed BOOLEAN NOT NULL, 
	identity INTEGER, 
	CONSTRAINT fk_tracklets_camera_id FOREIGN KEY(camera_id) REFERENCES cameras (id), 
	CONSTRAINT fk_tracklets_identity FOREIGN KEY(identity) REFERENCES identities (id), 
	CONSTRAINT fk_tracklets_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT fk_tracklets_source_id FOREIGN KEY(source_id) REFERENCES sources (id), 
	CONSTRAINT uq_tracklets_camera_id_number UNIQUE (camera_id, number)
);
INSERT INTO "tracklets" VALUES(1,1,1,1,7,25,25,2000000,2000000,1,1);
CREATE TABLE undone_decisions (
	undo_id INTEGER NOT NULL, 
	log_id INTEGER NOT NULL, 
	CONSTRAINT pk_undone_decisions PRIMARY KEY (undo_id, log_id), 
	CONSTRAINT fk_undone_decisions_undo_id FOREIGN KEY(undo_id) REFERENCES identity_log (id), 
	CONSTRAINT fk_undone_decisions_log_id FOREIGN KEY(log_id) REFERENCES identity_log (id), 
	CONSTRAINT uq_undone_decisions_log_id UNIQUE (log_id)
);
INSERT INTO "undone_decisions" VALUES(3,2);
CREATE TABLE users (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	cameras JSON, 
	password VARCHAR, 
	created_us BIGINT NOT NULL, 
	disabled BOOLEAN NOT NULL, one_time_until_us BIGINT, 
	CONSTRAINT uq_users_name UNIQUE (name)
);
INSERT INTO "users" VALUES(1,'ada','admin',NULL,NULL,1763640000000000,0,NULL);
CREATE TABLE watch_alerts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	entry_id INTEGER NOT NULL, 
	tracklet_id INTEGER NOT NULL, 
	time_us BIGINT NOT NULL, 
	probability DOUBLE NOT NULL, 
	acknowledged_us BIGINT, 
	acknowledged_by VARCHAR, 
	CONSTRAINT fk_watch_alerts_entry_id FOREIGN KEY(entry_id) REFERENCES watch_entries (id), 
	CONSTRAINT fk_watch_alerts_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE CASCADE, 
	CONSTRAINT uq_watch_alerts_entry_id_tracklet_id UNIQUE (entry_id, tracklet_id)
);
INSERT INTO "watch_alerts" VALUES(1,1,1,1763640000000000,0.98,NULL,NULL);
CREATE TABLE watch_entries (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	case_id INTEGER NOT NULL, 
	identity INTEGER, 
	label VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	rate DOUBLE NOT NULL, 
	added_us BIGINT NOT NULL, 
	added_by VARCHAR NOT NULL, 
	expires_us BIGINT NOT NULL, 
	approved_us BIGINT, 
	approved_by VARCHAR, 
	ended_us BIGINT, 
	ended_by VARCHAR, 
	CONSTRAINT fk_watch_entries_case_id FOREIGN KEY(case_id) REFERENCES cases (id), 
	CONSTRAINT fk_watch_entries_identity FOREIGN KEY(identity) REFERENCES identities (id)
);
INSERT INTO "watch_entries" VALUES(1,1,1,'red coat','report 12',0.02,1763640000000000,'ada',1763726400000000,NULL,NULL,NULL,NULL);
CREATE TABLE watch_examples (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	entry_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	tracklet_id INTEGER, 
	vector BLOB NOT NULL, 
	CONSTRAINT fk_watch_examples_entry_id FOREIGN KEY(entry_id) REFERENCES watch_entries (id), 
	CONSTRAINT fk_watch_examples_model_id FOREIGN KEY(model_id) REFERENCES models (id), 
	CONSTRAINT fk_watch_examples_tracklet_id FOREIGN KEY(tracklet_id) REFERENCES tracklets (id) ON DELETE CASCADE
);
INSERT INTO "watch_examples" VALUES(1,1,1,1,X'0000000000000000');
CREATE INDEX ix_identities_merged_into ON identities (merged_into);
CREATE UNIQUE INDEX ix_sources_current ON sources (camera_id) WHERE current = 1;
CREATE INDEX ix_tracklets_identity ON tracklets (identity);
CREATE INDEX ix_tracklets_open ON tracklets (id) WHERE closed = 0;
CREATE INDEX ix_tracklets_run ON tracklets (run_id);
CREATE INDEX ix_tracklets_source ON tracklets (source_id, number);
CREATE INDEX ix_identity_log_identity ON identity_log (identity);
CREATE INDEX ix_identity_log_other ON identity_log (other);
CREATE INDEX ix_identity_log_tracklet ON identity_log (tracklet_id);
CREATE INDEX ix_segments_tracklet ON segments (tracklet_id, first_frame);
CREATE INDEX ix_embeddings_crop ON embeddings (crop_id);
CREATE INDEX ix_embeddings_model_time ON embeddings (model_id, time_us);
CREATE INDEX ix_embeddings_tracklet ON embeddings (tracklet_id);
CREATE INDEX ix_decision_tracklets_tracklet ON decision_tracklets (tracklet_id);
CREATE INDEX ix_corpus_tracklets_time ON corpus_tracklets (first_us);
CREATE INDEX ix_corpus_shards_day ON corpus_shards (day);
CREATE INDEX ix_corpus_items_tracklet ON corpus_items (tracklet_id, time_us);
CREATE INDEX ix_corpus_items_shard ON corpus_items (shard_id, "offset");
CREATE INDEX ix_corpus_items_digest ON corpus_items (digest) WHERE digest IS NOT NULL;
CREATE INDEX ix_tracklets_first ON tracklets (first_us);
CREATE INDEX ix_crops_time ON crops (time_us);
CREATE INDEX ix_clips_camera ON clips (camera_id, first_us);
CREATE INDEX ix_clips_first ON clips (first_us);
CREATE INDEX ix_watch_entries_expires ON watch_entries (expires_us);
CREATE INDEX ix_watch_examples_entry ON watch_examples (entry_id, model_id);
CREATE INDEX ix_watch_examples_tracklet ON watch_examples (tracklet_id);
CREATE INDEX ix_watch_alerts_tracklet ON watch_alerts (tracklet_id);
CREATE INDEX ix_watch_alerts_time ON watch_alerts (time_us);
CREATE INDEX ix_audit_log_time ON audit_log (at_us, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('cameras',1);
INSERT INTO "sqlite_sequence" VALUES('runs',1);
INSERT INTO "sqlite_sequence" VALUES('sources',1);
INSERT INTO "sqlite_sequence" VALUES('models',1);
INSERT INTO "sqlite_sequence" VALUES('tracklets',1);
INSERT INTO "sqlite_sequence" VALUES('crops',1);
INSERT INTO "sqlite_sequence" VALUES('embeddings',1);
INSERT INTO "sqlite_sequence" VALUES('identity_log',4);
INSERT INTO "sqlite_sequence" VALUES('corpus_origins',1);
INSERT INTO "sqlite_sequence" VALUES('corpus_tracklets',1);
INSERT INTO "sqlite_sequence" VALUES('corpus_shards',1);
INSERT INTO "sqlite_sequence" VALUES('learning_runs',1);
INSERT INTO "sqlite_sequence" VALUES('cases',1);
INSERT INTO "sqlite_sequence" VALUES('audit_log',2);
INSERT INTO "sqlite_sequence" VALUES('case_holds',1);
INSERT INTO "sqlite_sequence" VALUES('erasures',1);
INSERT INTO "sqlite_sequence" VALUES('users',1);
INSERT INTO "sqlite_sequence" VALUES('clips',1);
INSERT INTO "sqlite_sequence" VALUES('watch_entries',1);
INSERT INTO "sqlite_sequence" VALUES('watch_alerts',1);
INSERT INTO "sqlite_sequence" VALUES('watch_examples',1);
COMMIT;
