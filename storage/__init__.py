"""What a site remembers: its database and its crops. Nothing of SQLAlchemy leaves this package.

Reading and writing:
- `database`: opens the database of a data folder; transactions; the lock that a run holds.
- `repository`: every question to the database, and what is set up before a run.
- `corrections`: an operator's merge, split, confirmation and undo. `review`: the links that they should look at.
  `actor`: who does something that is logged.
- `writer`: the one thread that stores what a run finds, one transaction a time.
- `crop_store`: the pictures of tracklets on disk. `clips`: the footage as it was sent.
- `corpus_store`: the unlabelled crops that the encoder learns from. `corpus_records`: the values that go in and out.
- `model_card`: models as folders, checked against their cards. `model_registry`: where they are found by name.
- `model_catalogue`: those that can be pulled. `download`: files over HTTPS that are checked and go on where they broke.
- `promotions`: which encoder serves a site, as a log that only grows. `learning_runs`: what was learnt when, and how.
- `audit_log`: who did what with people's data, chained and signed; `audit_reading`: newest first, for people.
  `cases`: what is held beyond the retention time.
- `watch_lists`: whom a run looks out for. `watch_alerts`: what it has noticed.
- `users`: who uses a site. `permissions`: what their roles allow, and which cameras they see.
- `login_sessions`: who is logged in to its dashboard.
- `retention`: removing what was kept long enough; `retention_due`: what goes next.
  `erasure`: removing all that there is of somebody.
- `backup`: copies of a whole site. `site_check`: what is wrong with one, and how much there is. `site_status`: its
  runs, models and disk. `learning_view`: the corpus, the nights and what serves, for people.
- `vector_index_sync`: the vector index of a site, which finds who looks alike among millions.
- `records`: the values that go in and come out.
- `errors`: the tree of errors.

Behind them:
- `schema`: the tables, each index with the query that needs it.
- `dialect`: what SQLite (`dialect_sqlite`) and PostgreSQL (`dialect_postgresql`) do in their own ways. `database_link`:
  which of them a data folder belongs to. `index_hints`: indices that SQLite is not to use.
  `typed_numbers`: numbers that no row can have.
- `migrate`, `migrations`: from the schema of an older version to this one.
- `apply`: the statements of one commit. `row_ids`: what they remember between commits.
- `identity_log`: what each decision about identities changes, and the log of all. `settlement`: what it says without
  the decisions that were undone. `operator_words`: what operators said, which the machine may not overrule.
- `traffic`: when tracklets were where, as arrays. `floor_plan`: the plan of a site, and where its cameras are.
- `overview`: what a site has seen lately, for pages that people look at.
- `journeys`: identities and their paths, read for people. `tracklet_views`: embeddings by tracklet, read for searches.
- `vector_index`: what every index of embeddings does. `vector_index_exact` compares with all, `vector_index_ivf` first
  quickly and then with the nearest, `vector_index_gpu` on a graphics processor. `vector_segment`: sealed embeddings;
  `vector_codes`, `vector_quick`: their bits. `vector_index_file`: the files. `vector_rows`: what the database has.
- `calibrations`: what similarities mean on a site.
- `corpus_writing`, `corpus_queries`: the statements of the corpus. `corpus_shards`: its files.
- `encryption`: what is sealed, by which keys. `master_key`: where the key of those keys is. `vector_bytes`: embeddings
  as they are stored; `watch_vectors`: the examples of watch lists.
- `schema_learning`: the tables of the corpus and of `learning_runs`. `schema_governance`: those of `audit_log`,
  `users`, `cases`, `watch_lists`, `floor_plan` and `erasure`.
- `erasure_plan`: whom an erasure is about. `erasure_files`: what files say of them; `erasure_clips`: the footage.
  `signing`: the key that reports and logs are signed with. `line_file`: a text file whose lines may be taken out while
  it grows. `site_files`: names in a data folder.
- `removal`: removing what a source gave. `reembedding`: stored crops that another encoder is still to embed.
- `box_codec`: the bytes that boxes are stored as.
"""
