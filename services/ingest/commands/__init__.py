"""What our own users do: contacts and activities made in Pipedrive, and the campaign.

The way back to Pipedrive. Nothing is made twice, whoever dies or hears nothing on the way.
"""
