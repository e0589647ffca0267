SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.audit_log (
    id bigint NOT NULL,
    at_us bigint NOT NULL,
    content character varying,
    content_digest bytea NOT NULL,
    digest bytea NOT NULL,
    erasure_id integer
);
CREATE SEQUENCE public.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_log_id_seq OWNED BY public.audit_log.id;
CREATE TABLE public.audit_seals (
    name character varying NOT NULL,
    entry_id bigint NOT NULL,
    digest bytea NOT NULL,
    signature bytea NOT NULL,
    CONSTRAINT ck_audit_seals_known CHECK ((((name)::text = 'begin'::text) OR ((name)::text = 'end'::text)))
);
CREATE TABLE public.calibrations (
    id integer NOT NULL,
    model_id integer NOT NULL,
    first_camera_id integer,
    second_camera_id integer,
    one_camera boolean NOT NULL,
    intercept double precision NOT NULL,
    slope double precision NOT NULL,
    share double precision NOT NULL,
    tracklets integer NOT NULL,
    pairs integer NOT NULL,
    fitted_us bigint NOT NULL
);
CREATE SEQUENCE public.calibrations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.calibrations_id_seq OWNED BY public.calibrations.id;
CREATE TABLE public.camera_places (
    camera_id integer NOT NULL,
    x double precision NOT NULL,
    y double precision NOT NULL
);
CREATE TABLE public.cameras (
    id integer NOT NULL,
    name character varying NOT NULL COLLATE pg_catalog."C",
    next_number integer NOT NULL
);
CREATE SEQUENCE public.cameras_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cameras_id_seq OWNED BY public.cameras.id;
CREATE TABLE public.case_holds (
    id integer NOT NULL,
    case_id integer NOT NULL,
    identity integer,
    camera_id integer,
    since_us bigint,
    until_us bigint
);
CREATE SEQUENCE public.case_holds_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.case_holds_id_seq OWNED BY public.case_holds.id;
CREATE TABLE public.cases (
    id integer NOT NULL,
    title character varying NOT NULL,
    reason character varying NOT NULL,
    opened_us bigint NOT NULL,
    opened_by character varying NOT NULL,
    closed_us bigint
);
CREATE SEQUENCE public.cases_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cases_id_seq OWNED BY public.cases.id;
CREATE TABLE public.clips (
    id bigint NOT NULL,
    camera_id integer NOT NULL,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL,
    path character varying NOT NULL,
    bytes bigint NOT NULL
);
CREATE SEQUENCE public.clips_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.clips_id_seq OWNED BY public.clips.id;
CREATE TABLE public.corpus_items (
    id bigint NOT NULL,
    tracklet_id bigint NOT NULL,
    time_us bigint NOT NULL,
    shard_id integer NOT NULL,
    "offset" bigint NOT NULL,
    length integer NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    quality double precision NOT NULL,
    digest bigint
);
CREATE SEQUENCE public.corpus_items_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.corpus_items_id_seq OWNED BY public.corpus_items.id;
CREATE TABLE public.corpus_origins (
    id integer NOT NULL,
    camera_id integer NOT NULL,
    key character varying NOT NULL,
    start_us bigint NOT NULL,
    frames integer NOT NULL,
    finished boolean NOT NULL
);
CREATE SEQUENCE public.corpus_origins_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.corpus_origins_id_seq OWNED BY public.corpus_origins.id;
CREATE TABLE public.corpus_shards (
    id integer NOT NULL,
    day integer NOT NULL,
    bytes bigint NOT NULL,
    gaps boolean NOT NULL
);
CREATE SEQUENCE public.corpus_shards_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.corpus_shards_id_seq OWNED BY public.corpus_shards.id;
CREATE TABLE public.corpus_tracklets (
    id bigint NOT NULL,
    origin_id integer NOT NULL,
    tracklet_id integer,
    number integer NOT NULL,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL
);
CREATE SEQUENCE public.corpus_tracklets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.corpus_tracklets_id_seq OWNED BY public.corpus_tracklets.id;
CREATE TABLE public.crops (
    id bigint NOT NULL,
    tracklet_id integer NOT NULL,
    frame integer NOT NULL,
    time_us bigint NOT NULL,
    quality double precision NOT NULL,
    x1 double precision NOT NULL,
    y1 double precision NOT NULL,
    x2 double precision NOT NULL,
    y2 double precision NOT NULL,
    path character varying NOT NULL,
    bytes integer NOT NULL
);
CREATE SEQUENCE public.crops_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.crops_id_seq OWNED BY public.crops.id;
CREATE TABLE public.data_keys (
    camera_id integer NOT NULL,
    day integer NOT NULL,
    kind character varying NOT NULL,
    wrapped bytea NOT NULL
);
CREATE TABLE public.decision_tracklets (
    log_id bigint NOT NULL,
    tracklet_id integer NOT NULL,
    same boolean NOT NULL
);
CREATE TABLE public.embeddings (
    id bigint NOT NULL,
    tracklet_id integer NOT NULL,
    crop_id bigint,
    model_id integer NOT NULL,
    quality double precision NOT NULL,
    time_us bigint NOT NULL,
    vector bytea NOT NULL
);
CREATE SEQUENCE public.embeddings_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.embeddings_id_seq OWNED BY public.embeddings.id;
CREATE TABLE public.erased_contents (
    digest bigint NOT NULL,
    erasure_id integer NOT NULL
);
CREATE TABLE public.erased_sources (
    source_id integer NOT NULL,
    erasure_id integer NOT NULL
);
CREATE TABLE public.erasures (
    id integer NOT NULL,
    at_us bigint NOT NULL,
    actor character varying NOT NULL,
    finished boolean NOT NULL,
    plan json NOT NULL,
    report json NOT NULL,
    signature bytea
);
CREATE SEQUENCE public.erasures_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.erasures_id_seq OWNED BY public.erasures.id;
CREATE TABLE public.floor_plan (
    id integer NOT NULL,
    picture bytea NOT NULL,
    changed_us bigint NOT NULL,
    CONSTRAINT ck_floor_plan_one_row CHECK ((id = 1))
);
CREATE SEQUENCE public.floor_plan_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.floor_plan_id_seq OWNED BY public.floor_plan.id;
CREATE TABLE public.identities (
    id integer NOT NULL,
    opened_us bigint NOT NULL,
    merged_into integer,
    vacant boolean NOT NULL
);
CREATE TABLE public.identity_log (
    id bigint NOT NULL,
    at_us bigint NOT NULL,
    time_us bigint NOT NULL,
    type character varying NOT NULL,
    identity integer NOT NULL,
    other integer,
    tracklet_id integer,
    probability double precision,
    evidence json NOT NULL,
    actor character varying NOT NULL
);
CREATE SEQUENCE public.identity_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.identity_log_id_seq OWNED BY public.identity_log.id;
CREATE TABLE public.learning_runs (
    id integer NOT NULL,
    kind character varying NOT NULL,
    status character varying NOT NULL,
    started_us bigint NOT NULL,
    ended_us bigint,
    parent character varying,
    model character varying,
    promoted boolean NOT NULL,
    reason character varying,
    seed bigint NOT NULL,
    settings json NOT NULL,
    figures json NOT NULL,
    code character varying NOT NULL
);
CREATE SEQUENCE public.learning_runs_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.learning_runs_id_seq OWNED BY public.learning_runs.id;
CREATE TABLE public.login_sessions (
    digest bytea NOT NULL,
    user_id integer NOT NULL,
    created_us bigint NOT NULL,
    seen_us bigint NOT NULL
);
CREATE TABLE public.models (
    id integer NOT NULL,
    hash character varying NOT NULL,
    name character varying NOT NULL,
    task character varying NOT NULL,
    licence character varying NOT NULL
);
CREATE SEQUENCE public.models_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.models_id_seq OWNED BY public.models.id;
CREATE TABLE public.runs (
    id integer NOT NULL,
    started_us bigint NOT NULL,
    ended_us bigint,
    status character varying NOT NULL,
    settings json NOT NULL,
    models json NOT NULL
);
CREATE SEQUENCE public.runs_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.runs_id_seq OWNED BY public.runs.id;
CREATE TABLE public.segments (
    id bigint NOT NULL,
    tracklet_id integer NOT NULL,
    first_frame integer NOT NULL,
    last_frame integer NOT NULL,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL,
    data bytea NOT NULL
);
CREATE SEQUENCE public.segments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.segments_id_seq OWNED BY public.segments.id;
CREATE TABLE public.site (
    id integer NOT NULL,
    next_identity integer NOT NULL,
    CONSTRAINT ck_site_one_row CHECK ((id = 1))
);
CREATE SEQUENCE public.site_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.site_id_seq OWNED BY public.site.id;
CREATE TABLE public.sources (
    id integer NOT NULL,
    camera_id integer NOT NULL,
    location character varying NOT NULL,
    fingerprint character varying NOT NULL,
    live boolean NOT NULL,
    start_us bigint NOT NULL,
    frames_committed integer NOT NULL,
    finished boolean NOT NULL,
    current boolean NOT NULL
);
CREATE SEQUENCE public.sources_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.sources_id_seq OWNED BY public.sources.id;
CREATE TABLE public.tracklets (
    id integer NOT NULL,
    camera_id integer NOT NULL,
    run_id integer NOT NULL,
    source_id integer NOT NULL,
    number integer NOT NULL,
    first_frame integer NOT NULL,
    last_frame integer NOT NULL,
    first_us bigint NOT NULL,
    last_us bigint NOT NULL,
    closed boolean NOT NULL,
    identity integer
);
CREATE SEQUENCE public.tracklets_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.tracklets_id_seq OWNED BY public.tracklets.id;
CREATE TABLE public.undone_decisions (
    undo_id bigint NOT NULL,
    log_id bigint NOT NULL
);
CREATE TABLE public.users (
    id integer NOT NULL,
    name character varying NOT NULL,
    role character varying NOT NULL,
    cameras json,
    password character varying,
    created_us bigint NOT NULL,
    disabled boolean NOT NULL,
    one_time_until_us bigint
);
CREATE SEQUENCE public.users_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.users_id_seq OWNED BY public.users.id;
CREATE TABLE public.watch_alerts (
    id bigint NOT NULL,
    entry_id integer NOT NULL,
    tracklet_id integer NOT NULL,
    time_us bigint NOT NULL,
    probability double precision NOT NULL,
    acknowledged_us bigint,
    acknowledged_by character varying
);
CREATE SEQUENCE public.watch_alerts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.watch_alerts_id_seq OWNED BY public.watch_alerts.id;
CREATE TABLE public.watch_entries (
    id integer NOT NULL,
    case_id integer NOT NULL,
    identity integer,
    label character varying NOT NULL,
    reason character varying NOT NULL,
    rate double precision NOT NULL,
    added_us bigint NOT NULL,
    added_by character varying NOT NULL,
    expires_us bigint NOT NULL,
    approved_us bigint,
    approved_by character varying,
    ended_us bigint,
    ended_by character varying
);
CREATE SEQUENCE public.watch_entries_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.watch_entries_id_seq OWNED BY public.watch_entries.id;
CREATE TABLE public.watch_examples (
    id integer NOT NULL,
    entry_id integer NOT NULL,
    model_id integer NOT NULL,
    tracklet_id integer,
    vector bytea NOT NULL
);
CREATE SEQUENCE public.watch_examples_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.watch_examples_id_seq OWNED BY public.watch_examples.id;
ALTER TABLE ONLY public.audit_log ALTER COLUMN id SET DEFAULT nextval('public.audit_log_id_seq'::regclass);
ALTER TABLE ONLY public.calibrations ALTER COLUMN id SET DEFAULT nextval('public.calibrations_id_seq'::regclass);
ALTER TABLE ONLY public.cameras ALTER COLUMN id SET DEFAULT nextval('public.cameras_id_seq'::regclass);
ALTER TABLE ONLY public.case_holds ALTER COLUMN id SET DEFAULT nextval('public.case_holds_id_seq'::regclass);
ALTER TABLE ONLY public.cases ALTER COLUMN id SET DEFAULT nextval('public.cases_id_seq'::regclass);
ALTER TABLE ONLY public.clips ALTER COLUMN id SET DEFAULT nextval('public.clips_id_seq'::regclass);
ALTER TABLE ONLY public.corpus_items ALTER COLUMN id SET DEFAULT nextval('public.corpus_items_id_seq'::regclass);
ALTER TABLE ONLY public.corpus_origins ALTER COLUMN id SET DEFAULT nextval('public.corpus_origins_id_seq'::regclass);
ALTER TABLE ONLY public.corpus_shards ALTER COLUMN id SET DEFAULT nextval('public.corpus_shards_id_seq'::regclass);
ALTER TABLE ONLY public.corpus_tracklets ALTER COLUMN id SET DEFAULT nextval('public.corpus_tracklets_id_seq'::regclass);
ALTER TABLE ONLY public.crops ALTER COLUMN id SET DEFAULT nextval('public.crops_id_seq'::regclass);
ALTER TABLE ONLY public.embeddings ALTER COLUMN id SET DEFAULT nextval('public.embeddings_id_seq'::regclass);
ALTER TABLE ONLY public.erasures ALTER COLUMN id SET DEFAULT nextval('public.erasures_id_seq'::regclass);
ALTER TABLE ONLY public.floor_plan ALTER COLUMN id SET DEFAULT nextval('public.floor_plan_id_seq'::regclass);
ALTER TABLE ONLY public.identity_log ALTER COLUMN id SET DEFAULT nextval('public.identity_log_id_seq'::regclass);
ALTER TABLE ONLY public.learning_runs ALTER COLUMN id SET DEFAULT nextval('public.learning_runs_id_seq'::regclass);
ALTER TABLE ONLY public.models ALTER COLUMN id SET DEFAULT nextval('public.models_id_seq'::regclass);
ALTER TABLE ONLY public.runs ALTER COLUMN id SET DEFAULT nextval('public.runs_id_seq'::regclass);
ALTER TABLE ONLY public.segments ALTER COLUMN id SET DEFAULT nextval('public.segments_id_seq'::regclass);
ALTER TABLE ONLY public.site ALTER COLUMN id SET DEFAULT nextval('public.site_id_seq'::regclass);
ALTER TABLE ONLY public.sources ALTER COLUMN id SET DEFAULT nextval('public.sources_id_seq'::regclass);
ALTER TABLE ONLY public.tracklets ALTER COLUMN id SET DEFAULT nextval('public.tracklets_id_seq'::regclass);
ALTER TABLE ONLY public.users ALTER COLUMN id SET DEFAULT nextval('public.users_id_seq'::regclass);
ALTER TABLE ONLY public.watch_alerts ALTER COLUMN id SET DEFAULT nextval('public.watch_alerts_id_seq'::regclass);
ALTER TABLE ONLY public.watch_entries ALTER COLUMN id SET DEFAULT nextval('public.watch_entries_id_seq'::regclass);
ALTER TABLE ONLY public.watch_examples ALTER COLUMN id SET DEFAULT nextval('public.watch_examples_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0006');
INSERT INTO public.audit_log VALUES (1, 1763640000000000, '{"action":"case","actor":"ada","reason":"report 12","subject":{"case":1,"what":"open"}}', '\x45333e7a9acdb4ef8433a4acb5f4313fb6f45e308498d392425c6a844a6c3692', '\x3c5e0a91dc7a1b9386be13a4341ab700fae2430c1f48e48acdb83b90db8c6eb4', NULL);
INSERT INTO public.audit_log VALUES (2, 1763640000000000, '{"action":"case","actor":"ada","reason":"","subject":{"case":1,"identity":1,"what":"hold"}}', '\x8c4d5ebd9eabf9162667824178d489720a1b284b55b12328509c8c842e908ed6', '\x704d2947309274e52dfa8c01da06fcc233869195c728f24ddd7ff52ac6745c98', NULL);
INSERT INTO public.audit_seals VALUES ('end', 2, '\x704d2947309274e52dfa8c01da06fcc233869195c728f24ddd7ff52ac6745c98', '\xd67b0a371bcd6742f6ddea17212e76948acc6e810ae68836c8ecac4fab891451f681528d440bbdafbdfdfddbee53a62fdd2126529ce92c0805bbd93d8c39fb0a');
INSERT INTO public.calibrations VALUES (1, 1, 1, 1, true, -11.5, 18.75, 0.0125, 400, 900, 5000000);
INSERT INTO public.camera_places VALUES (1, 0.25, 0.5);
INSERT INTO public.cameras VALUES (1, 'hall', 8);
INSERT INTO public.case_holds VALUES (1, 1, 1, NULL, NULL, NULL);
INSERT INTO public.cases VALUES (1, 'theft', 'report 12', 1763640000000000, 'ada', NULL);
INSERT INTO public.clips VALUES (1, 1, 1763640000000000, 1763640010000000, 'clips/hall/2025-11-20/1763640000000000.mp4', 5);
INSERT INTO public.corpus_items VALUES (1, 1, 4500000, 1, 0, 4, 48, 128, 0.75, NULL);
INSERT INTO public.corpus_origins VALUES (1, 1, 'run 1 camera 1', 4000000, 0, false);
INSERT INTO public.corpus_shards VALUES (1, 0, 4, false);
INSERT INTO public.corpus_tracklets VALUES (1, 1, 1, 7, 4000000, 5000000);
INSERT INTO public.crops VALUES (1, 1, 25, 2000000, 0.5, 1, 2, 3, 4, 'crops/hall/1970-01-01/7_25.jpg', 3);
INSERT INTO public.data_keys VALUES (1, 20412, 'crops', '\x000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO public.decision_tracklets VALUES (4, 1, true);
INSERT INTO public.embeddings VALUES (1, 1, 1, 1, 0.5, 2000000, '\x0000803f00000000');
INSERT INTO public.erased_contents VALUES (5, 1);
INSERT INTO public.erased_sources VALUES (1, 1);
INSERT INTO public.erasures VALUES (1, 1763640000000000, 'ada', true, '{}', '{"erasure": 1}', '\x00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO public.floor_plan VALUES (1, '\x89504e47', 1763640000000000);
INSERT INTO public.identities VALUES (1, 1000000, NULL, false);
INSERT INTO public.identities VALUES (2, 1000000, 1, false);
INSERT INTO public.identity_log VALUES (1, 3000000, 2000000, 'assign', 1, NULL, 1, 0.9, '{"views": 3}', 'machine');
INSERT INTO public.identity_log VALUES (2, 4000000, 2000000, 'merge', 2, 1, NULL, NULL, '{}', 'anna');
INSERT INTO public.identity_log VALUES (3, 5000000, 2000000, 'undo', 2, 1, NULL, NULL, '{}', 'anna');
INSERT INTO public.identity_log VALUES (4, 6000000, 2000000, 'merge', 2, 1, NULL, NULL, '{}', 'anna');
INSERT INTO public.learning_runs VALUES (1, 'adapt', 'done', 3000000, 4000000, 'aa', 'small-100', true, 'better', 7, '{"budget_s": 60.0}', '{"steps": 40}', '0.1.0');
INSERT INTO public.login_sessions VALUES ('\x0000000000000000000000000000000000000000000000000000000000000000', 1, 1763640000000000, 1763640000000000);
INSERT INTO public.models VALUES (1, 'aa', 'encoder', 'reid', 'MIT');
INSERT INTO public.runs VALUES (1, 1000000, 9000000, 'done', '{"detector": {"min_confidence": 0.5}}', '{"reid": "aa"}');
INSERT INTO public.segments VALUES (1, 1, 25, 25, 2000000, 2000000, '\x190000000000803f0000004000004040000080400000003f80841e0000000000');
INSERT INTO public.site VALUES (1, 3);
INSERT INTO public.sources VALUES (1, 1, '/recordings/hall.mp4', 'f1', false, 1000000, 25, true, true);
INSERT INTO public.tracklets VALUES (1, 1, 1, 1, 7, 25, 25, 2000000, 2000000, true, 1);
INSERT INTO public.undone_decisions VALUES (3, 2);
INSERT INTO public.users VALUES (1, 'ada', 'admin', NULL, NULL, 1763640000000000, false, NULL);
INSERT INTO public.watch_alerts VALUES (1, 1, 1, 1763640000000000, 0.98, NULL, NULL);
INSERT INTO public.watch_entries VALUES (1, 1, 1, 'red coat', 'report 12', 0.02, 1763640000000000, 'ada', 1763726400000000, NULL, NULL, NULL, NULL);
INSERT INTO public.watch_examples VALUES (1, 1, 1, 1, '\x0000000000000000');
SELECT pg_catalog.setval('public.audit_log_id_seq', 2, true);
SELECT pg_catalog.setval('public.calibrations_id_seq', 1, true);
SELECT pg_catalog.setval('public.cameras_id_seq', 1, true);
SELECT pg_catalog.setval('public.case_holds_id_seq', 1, true);
SELECT pg_catalog.setval('public.cases_id_seq', 1, true);
SELECT pg_catalog.setval('public.clips_id_seq', 1, true);
SELECT pg_catalog.setval('public.corpus_items_id_seq', 1, true);
SELECT pg_catalog.setval('public.corpus_origins_id_seq', 1, true);
SELECT pg_catalog.setval('public.corpus_shards_id_seq', 1, true);
SELECT pg_catalog.setval('public.corpus_tracklets_id_seq', 1, true);
SELECT pg_catalog.setval('public.crops_id_seq', 1, true);
SELECT pg_catalog.setval('public.embeddings_id_seq', 1, true);
SELECT pg_catalog.setval('public.erasures_id_seq', 1, true);
SELECT pg_catalog.setval('public.floor_plan_id_seq', 1, true);
SELECT pg_catalog.setval('public.identity_log_id_seq', 4, true);
SELECT pg_catalog.setval('public.learning_runs_id_seq', 1, true);
SELECT pg_catalog.setval('public.models_id_seq', 1, true);
SELECT pg_catalog.setval('public.runs_id_seq', 1, true);
SELECT pg_catalog.setval('public.segments_id_seq', 1, true);
SELECT pg_catalog.setval('public.site_id_seq', 1, true);
SELECT pg_catalog.setval('public.sources_id_seq', 1, true);
SELECT pg_catalog.setval('public.tracklets_id_seq', 1, true);
SELECT pg_catalog.setval('public.users_id_seq', 1, true);
SELECT pg_catalog.setval('public.watch_alerts_id_seq', 1, true);
SELECT pg_catalog.setval('public.watch_entries_id_seq', 1, true);
SELECT pg_catalog.setval('public.watch_examples_id_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT pk_audit_log PRIMARY KEY (id);
ALTER TABLE ONLY public.audit_seals
    ADD CONSTRAINT pk_audit_seals PRIMARY KEY (name);
ALTER TABLE ONLY public.calibrations
    ADD CONSTRAINT pk_calibrations PRIMARY KEY (id);
ALTER TABLE ONLY public.camera_places
    ADD CONSTRAINT pk_camera_places PRIMARY KEY (camera_id);
ALTER TABLE ONLY public.cameras
    ADD CONSTRAINT pk_cameras PRIMARY KEY (id);
ALTER TABLE ONLY public.case_holds
    ADD CONSTRAINT pk_case_holds PRIMARY KEY (id);
ALTER TABLE ONLY public.cases
    ADD CONSTRAINT pk_cases PRIMARY KEY (id);
ALTER TABLE ONLY public.clips
    ADD CONSTRAINT pk_clips PRIMARY KEY (id);
ALTER TABLE ONLY public.corpus_items
    ADD CONSTRAINT pk_corpus_items PRIMARY KEY (id);
ALTER TABLE ONLY public.corpus_origins
    ADD CONSTRAINT pk_corpus_origins PRIMARY KEY (id);
ALTER TABLE ONLY public.corpus_shards
    ADD CONSTRAINT pk_corpus_shards PRIMARY KEY (id);
ALTER TABLE ONLY public.corpus_tracklets
    ADD CONSTRAINT pk_corpus_tracklets PRIMARY KEY (id);
ALTER TABLE ONLY public.crops
    ADD CONSTRAINT pk_crops PRIMARY KEY (id);
ALTER TABLE ONLY public.data_keys
    ADD CONSTRAINT pk_data_keys PRIMARY KEY (camera_id, day, kind);
ALTER TABLE ONLY public.decision_tracklets
    ADD CONSTRAINT pk_decision_tracklets PRIMARY KEY (log_id, tracklet_id);
ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT pk_embeddings PRIMARY KEY (id);
ALTER TABLE ONLY public.erased_contents
    ADD CONSTRAINT pk_erased_contents PRIMARY KEY (digest);
ALTER TABLE ONLY public.erased_sources
    ADD CONSTRAINT pk_erased_sources PRIMARY KEY (source_id);
ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT pk_erasures PRIMARY KEY (id);
ALTER TABLE ONLY public.floor_plan
    ADD CONSTRAINT pk_floor_plan PRIMARY KEY (id);
ALTER TABLE ONLY public.identities
    ADD CONSTRAINT pk_identities PRIMARY KEY (id);
ALTER TABLE ONLY public.identity_log
    ADD CONSTRAINT pk_identity_log PRIMARY KEY (id);
ALTER TABLE ONLY public.learning_runs
    ADD CONSTRAINT pk_learning_runs PRIMARY KEY (id);
ALTER TABLE ONLY public.login_sessions
    ADD CONSTRAINT pk_login_sessions PRIMARY KEY (digest);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT pk_models PRIMARY KEY (id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT pk_runs PRIMARY KEY (id);
ALTER TABLE ONLY public.segments
    ADD CONSTRAINT pk_segments PRIMARY KEY (id);
ALTER TABLE ONLY public.site
    ADD CONSTRAINT pk_site PRIMARY KEY (id);
ALTER TABLE ONLY public.sources
    ADD CONSTRAINT pk_sources PRIMARY KEY (id);
ALTER TABLE ONLY public.tracklets
    ADD CONSTRAINT pk_tracklets PRIMARY KEY (id);
ALTER TABLE ONLY public.undone_decisions
    ADD CONSTRAINT pk_undone_decisions PRIMARY KEY (undo_id, log_id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);
ALTER TABLE ONLY public.watch_alerts
    ADD CONSTRAINT pk_watch_alerts PRIMARY KEY (id);
ALTER TABLE ONLY public.watch_entries
    ADD CONSTRAINT pk_watch_entries PRIMARY KEY (id);
ALTER TABLE ONLY public.watch_examples
    ADD CONSTRAINT pk_watch_examples PRIMARY KEY (id);
ALTER TABLE ONLY public.calibrations
    ADD CONSTRAINT uq_calibrations_model_id_first_camera_id_second_camera_id UNIQUE (model_id, first_camera_id, second_camera_id);
ALTER TABLE ONLY public.cameras
    ADD CONSTRAINT uq_cameras_name UNIQUE (name);
ALTER TABLE ONLY public.clips
    ADD CONSTRAINT uq_clips_path UNIQUE (path);
ALTER TABLE ONLY public.corpus_origins
    ADD CONSTRAINT uq_corpus_origins_key UNIQUE (key);
ALTER TABLE ONLY public.corpus_tracklets
    ADD CONSTRAINT uq_corpus_tracklets_origin_id_number UNIQUE (origin_id, number);
ALTER TABLE ONLY public.corpus_tracklets
    ADD CONSTRAINT uq_corpus_tracklets_tracklet_id UNIQUE (tracklet_id);
ALTER TABLE ONLY public.crops
    ADD CONSTRAINT uq_crops_tracklet_id_frame UNIQUE (tracklet_id, frame);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT uq_models_hash UNIQUE (hash);
ALTER TABLE ONLY public.sources
    ADD CONSTRAINT uq_sources_camera_id_fingerprint UNIQUE (camera_id, fingerprint);
ALTER TABLE ONLY public.tracklets
    ADD CONSTRAINT uq_tracklets_camera_id_number UNIQUE (camera_id, number);
ALTER TABLE ONLY public.undone_decisions
    ADD CONSTRAINT uq_undone_decisions_log_id UNIQUE (log_id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_name UNIQUE (name);
ALTER TABLE ONLY public.watch_alerts
    ADD CONSTRAINT uq_watch_alerts_entry_id_tracklet_id UNIQUE (entry_id, tracklet_id);
CREATE INDEX ix_audit_log_time ON public.audit_log USING btree (at_us, id);
CREATE INDEX ix_clips_camera ON public.clips USING btree (camera_id, first_us);
CREATE INDEX ix_clips_first ON public.clips USING btree (first_us);
CREATE INDEX ix_corpus_items_digest ON public.corpus_items USING btree (digest) WHERE (digest IS NOT NULL);
CREATE INDEX ix_corpus_items_shard ON public.corpus_items USING btree (shard_id, "offset");
CREATE INDEX ix_corpus_items_tracklet ON public.corpus_items USING btree (tracklet_id, time_us);
CREATE INDEX ix_corpus_shards_day ON public.corpus_shards USING btree (day);
CREATE INDEX ix_corpus_tracklets_time ON public.corpus_tracklets USING btree (first_us);
CREATE INDEX ix_crops_time ON public.crops USING btree (time_us);
CREATE INDEX ix_decision_tracklets_tracklet ON public.decision_tracklets USING btree (tracklet_id);
CREATE INDEX ix_embeddings_crop ON public.embeddings USING btree (crop_id);
CREATE INDEX ix_embeddings_model_time ON public.embeddings USING btree (model_id, time_us);
CREATE INDEX ix_embeddings_tracklet ON public.embeddings USING btree (tracklet_id);
CREATE INDEX ix_identities_merged_into ON public.identities USING btree (merged_into);
CREATE INDEX ix_identity_log_identity ON public.identity_log USING btree (identity);
CREATE INDEX ix_identity_log_other ON public.identity_log USING btree (other);
CREATE INDEX ix_identity_log_tracklet ON public.identity_log USING btree (tracklet_id);
CREATE INDEX ix_segments_tracklet ON public.segments USING btree (tracklet_id, first_frame);
CREATE UNIQUE INDEX ix_sources_current ON public.sources USING btree (camera_id) WHERE current;
CREATE INDEX ix_tracklets_first ON public.tracklets USING btree (first_us);
CREATE INDEX ix_tracklets_identity ON public.tracklets USING btree (identity);
CREATE INDEX ix_tracklets_open ON public.tracklets USING btree (id) WHERE (NOT closed);
CREATE INDEX ix_tracklets_run ON public.tracklets USING btree (run_id);
CREATE INDEX ix_tracklets_source ON public.tracklets USING btree (source_id, number);
CREATE INDEX ix_watch_alerts_time ON public.watch_alerts USING btree (time_us);
CREATE INDEX ix_watch_alerts_tracklet ON public.watch_alerts USING btree (tracklet_id);
CREATE INDEX ix_watch_entries_expires ON public.watch_entries USING btree (expires_us);
CREATE INDEX ix_watch_examples_entry ON public.watch_examples USING btree (entry_id, model_id);
CREATE INDEX ix_watch_examples_tracklet ON public.watch_examples USING btree (tracklet_id);
ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT fk_audit_log_erasure_id FOREIGN KEY (erasure_id) REFERENCES public.erasures(id);
ALTER TABLE ONLY public.calibrations
    ADD CONSTRAINT fk_calibrations_first_camera_id FOREIGN KEY (first_camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.calibrations
    ADD CONSTRAINT fk_calibrations_model_id FOREIGN KEY (model_id) REFERENCES public.models(id);
ALTER TABLE ONLY public.calibrations
    ADD CONSTRAINT fk_calibrations_second_camera_id FOREIGN KEY (second_camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.camera_places
    ADD CONSTRAINT fk_camera_places_camera_id FOREIGN KEY (camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.case_holds
    ADD CONSTRAINT fk_case_holds_camera_id FOREIGN KEY (camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.case_holds
    ADD CONSTRAINT fk_case_holds_case_id FOREIGN KEY (case_id) REFERENCES public.cases(id);
ALTER TABLE ONLY public.case_holds
    ADD CONSTRAINT fk_case_holds_identity FOREIGN KEY (identity) REFERENCES public.identities(id);
ALTER TABLE ONLY public.clips
    ADD CONSTRAINT fk_clips_camera_id FOREIGN KEY (camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.corpus_items
    ADD CONSTRAINT fk_corpus_items_shard_id FOREIGN KEY (shard_id) REFERENCES public.corpus_shards(id);
ALTER TABLE ONLY public.corpus_items
    ADD CONSTRAINT fk_corpus_items_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.corpus_tracklets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.corpus_origins
    ADD CONSTRAINT fk_corpus_origins_camera_id FOREIGN KEY (camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.corpus_tracklets
    ADD CONSTRAINT fk_corpus_tracklets_origin_id FOREIGN KEY (origin_id) REFERENCES public.corpus_origins(id);
ALTER TABLE ONLY public.corpus_tracklets
    ADD CONSTRAINT fk_corpus_tracklets_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.crops
    ADD CONSTRAINT fk_crops_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.data_keys
    ADD CONSTRAINT fk_data_keys_camera_id FOREIGN KEY (camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.decision_tracklets
    ADD CONSTRAINT fk_decision_tracklets_log_id FOREIGN KEY (log_id) REFERENCES public.identity_log(id);
ALTER TABLE ONLY public.decision_tracklets
    ADD CONSTRAINT fk_decision_tracklets_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT fk_embeddings_crop_id FOREIGN KEY (crop_id) REFERENCES public.crops(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT fk_embeddings_model_id FOREIGN KEY (model_id) REFERENCES public.models(id);
ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT fk_embeddings_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.erased_contents
    ADD CONSTRAINT fk_erased_contents_erasure_id FOREIGN KEY (erasure_id) REFERENCES public.erasures(id);
ALTER TABLE ONLY public.erased_sources
    ADD CONSTRAINT fk_erased_sources_erasure_id FOREIGN KEY (erasure_id) REFERENCES public.erasures(id);
ALTER TABLE ONLY public.erased_sources
    ADD CONSTRAINT fk_erased_sources_source_id FOREIGN KEY (source_id) REFERENCES public.sources(id);
ALTER TABLE ONLY public.identities
    ADD CONSTRAINT fk_identities_merged_into FOREIGN KEY (merged_into) REFERENCES public.identities(id);
ALTER TABLE ONLY public.identity_log
    ADD CONSTRAINT fk_identity_log_identity FOREIGN KEY (identity) REFERENCES public.identities(id);
ALTER TABLE ONLY public.identity_log
    ADD CONSTRAINT fk_identity_log_other FOREIGN KEY (other) REFERENCES public.identities(id);
ALTER TABLE ONLY public.identity_log
    ADD CONSTRAINT fk_identity_log_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.login_sessions
    ADD CONSTRAINT fk_login_sessions_user_id FOREIGN KEY (user_id) REFERENCES public.users(id);
ALTER TABLE ONLY public.segments
    ADD CONSTRAINT fk_segments_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sources
    ADD CONSTRAINT fk_sources_camera_id FOREIGN KEY (camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.tracklets
    ADD CONSTRAINT fk_tracklets_camera_id FOREIGN KEY (camera_id) REFERENCES public.cameras(id);
ALTER TABLE ONLY public.tracklets
    ADD CONSTRAINT fk_tracklets_identity FOREIGN KEY (identity) REFERENCES public.identities(id);
ALTER TABLE ONLY public.tracklets
    ADD CONSTRAINT fk_tracklets_run_id FOREIGN KEY (run_id) REFERENCES public.runs(id);
ALTER TABLE ONLY public.tracklets
    ADD CONSTRAINT fk_tracklets_source_id FOREIGN KEY (source_id) REFERENCES public.sources(id);
ALTER TABLE ONLY public.undone_decisions
    ADD CONSTRAINT fk_undone_decisions_log_id FOREIGN KEY (log_id) REFERENCES public.identity_log(id);
ALTER TABLE ONLY public.undone_decisions
    ADD CONSTRAINT fk_undone_decisions_undo_id FOREIGN KEY (undo_id) REFERENCES public.identity_log(id);
ALTER TABLE ONLY public.watch_alerts
    ADD CONSTRAINT fk_watch_alerts_entry_id FOREIGN KEY (entry_id) REFERENCES public.watch_entries(id);
ALTER TABLE ONLY public.watch_alerts
    ADD CONSTRAINT fk_watch_alerts_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.watch_entries
    ADD CONSTRAINT fk_watch_entries_case_id FOREIGN KEY (case_id) REFERENCES public.cases(id);
ALTER TABLE ONLY public.watch_entries
    ADD CONSTRAINT fk_watch_entries_identity FOREIGN KEY (identity) REFERENCES public.identities(id);
ALTER TABLE ONLY public.watch_examples
    ADD CONSTRAINT fk_watch_examples_entry_id FOREIGN KEY (entry_id) REFERENCES public.watch_entries(id);
ALTER TABLE ONLY public.watch_examples
    ADD CONSTRAINT fk_watch_examples_model_id FOREIGN KEY (model_id) REFERENCES public.models(id);
ALTER TABLE ONLY public.watch_examples
    ADD CONSTRAINT fk_watch_examples_tracklet_id FOREIGN KEY (tracklet_id) REFERENCES public.tracklets(id) ON DELETE CASCADE;
