"""The dashboard: what a site sees and knows, in a browser, for those who may see it.

    browser -> sign_in (the gate, log-in) -> pictures (crops, clips, live) , or main: navigation -> page_*

- `cli_dashboard`: the command. `server`: Streamlit's pages and our own routes in one application. `served_site`: the
  site that it serves, and `Visitor`, through whom pages see no more than somebody may. `sign_in`: the gate, log-in.
  `own_password`: choosing one.
- `pictures`: everything that shows people, by `signed_links`, checked whenever it is asked for.
- `main`: the script of every page. `navigation`: the pages, and who may see them. `look`: colours and CSS. `words`:
  numbers in words. `components`: parts that Streamlit has no widget for, drawn by the scripts in ``assets/``.
- `page_live`: what the cameras see now; `live_wall`: their pictures. `page_alerts`: watch lists and who was seen.
- `page_search`: by pictures and sightings; `search_state`: what somebody has brought and judged.

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
