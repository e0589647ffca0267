"""The Streamlit dashboard: will show the cameras, identities, journeys and search of a site.

Not built yet: this folder holds nothing but this page. It will read through the query side of `reid_pipeline.pipeline`.

People, journeys and the map:
- `page_people`: who was seen. `card_grid`: the cards. `review_queue`: links that somebody should look at.
- `page_journeys`: one person's path. `journey_corrections`: merging, splitting, taking back. `journey_download`: the
  ZIP file. `picture_strip`: pictures side by side.
- `page_map`: where the cameras are and what goes on between them. `site_map`: the drawing. `map_plots`: the plots;
  `plot`: how they are shown.
- `flows`: the calculations for these. `time_choice`: the time that a page is about. `recent_stays`: what is counted.

Learning, system, privacy and users:
- `page_learning`: the corpus, the nights, what serves. `night_scores`: their scores. `page_system`: what goes on, what
  is there. `run_rates`: the calculations for it.
- `page_privacy`: how long what is kept; its other parts are `privacy_cases`, `privacy_erase` (and access) and
  `privacy_audit`. `retention_table`: what goes next. `audit_csv`: the log for other programs.
- `page_users`: who may do what. `page_password`: everybody's own. `answers`: what was done, or why not.
  `time_inputs`: fields for a span of time.
"""
