"""The Streamlit dashboard: will show the cameras, identities, journeys and search of a site.

Not built yet: this folder holds nothing but this page. It will read through the query side of `reid_pipeline.pipeline`.

People, journeys and the map:
- `page_people`: who was seen. `card_grid`: the cards. `review_queue`: links that somebody should look at.
- `page_journeys`: one person's path. `journey_corrections`: merging, splitting, taking back. `journey_download`: the
  ZIP file. `picture_strip`: pictures side by side.
- `page_map`: where the cameras are and what goes on between them. `site_map`: the drawing. `map_plots`: the plots.
- `flows`: the calculations for these. `time_choice`: the time that a page is about. `recent_stays`: what is counted.
"""
